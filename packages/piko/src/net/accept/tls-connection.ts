// A connection to a port with TLS, from its acceptance to the end of its handshake: a PROXY protocol header if one is allowed, a
// check of the first byte, then `node:tls`, which gets all bytes read so far.

import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Expiring } from "../deadline-sweep.js";
import { parseProxyHeader } from "./proxy-protocol.js";
import { HANDSHAKE_RECORD } from "./tls-on-plain-port.js";

/** The text of Go's servers, so that searching for it finds the same help. */
const PLAIN_ANSWER = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/** Why a connection ended before its handshake was done. */
export type TlsRefusal =
  | "certificate"
  | "handshake"
  | "handshake_timeout"
  | "max_handshakes"
  | "max_handshakes_per_client"
  | "plain"
  | "proxy_protocol";

/** Receives the result of a connection. `onGone` is called once, before the callback with the result. */
export interface TlsConnectionOwner {
  /** Starts the handshake; `onSecure` or `refuse` of the connection follows. */
  handshake(socket: Socket): void;
  /** The connection was closed during the handshake; `refuse` follows. */
  onClosed(connection: TlsConnection): void;
  onSecure(connection: TlsConnection, socket: TLSSocket): void;
  onPlain(connection: TlsConnection, socket: Socket): void;
  onRefused(connection: TlsConnection, refusal: TlsRefusal, detail: string): void;
  /** The connection was passed on, or has ended. */
  onGone(connection: TlsConnection): void;
}

export interface TlsConnectionOptions {
  /** Must be paused. */
  readonly socket: Socket;
  readonly peer: string;
  /** Whether it counts towards the handshakes of its address. */
  readonly counted: boolean;
  readonly owner: TlsConnectionOwner;
  readonly plainAllowed: boolean;
  /** Whether a PROXY protocol header comes first. */
  readonly header: "none" | "optional" | "required";
  /** How often authorities had been removed when the connection arrived. */
  readonly distrusts: number;
  /** When the handshake has to be done. */
  readonly deadlineMs: number;
}

export class TlsConnection implements Expiring {
  /** The peer's address and port: no two connections have the same. */
  readonly key: string;
  readonly peer: string;
  readonly counted: boolean;
  readonly distrusts: number;
  /** The client's address: the peer's, or the one in its PROXY header. */
  address: string;
  /** Whether it began with a PROXY header. */
  hasHeader = false;
  readonly #options: TlsConnectionOptions;
  readonly #onReadable: () => void;
  /** The beginning of a header; never longer than a header can be. */
  #bytes: Buffer | undefined;
  #headerRead: boolean;
  #handshaking: boolean;
  /** Passed on, refused or gone. */
  #over: boolean;
  #refused: boolean;

  constructor(options: TlsConnectionOptions) {
    const { header, peer, socket } = options;
    this.key = `${socket.remoteAddress} ${socket.remotePort}`;
    this.peer = peer;
    this.counted = options.counted;
    this.distrusts = options.distrusts;
    this.address = peer;
    this.#options = options;
    this.#bytes = undefined;
    this.#headerRead = header === "none";
    this.#handshaking = false;
    this.#over = false;
    this.#refused = false;
    this.#onReadable = () => this.#read();
    socket.on("error", () => {});
    socket.on("close", () => this.#onClose());
    socket.on("readable", this.#onReadable);
  }

  sweep(nowMs: number): void {
    if (nowMs >= this.#options.deadlineMs) this.refuse("handshake_timeout", "no handshake in time");
  }

  /** Ends the connection. */
  destroy(): void {
    this.#end();
    this.#options.socket.destroy();
  }

  /** Refuses the connection. Idempotent. */
  refuse(refusal: TlsRefusal, detail: string): void {
    if (this.#refused) return;
    this.#refused = true;
    this.destroy();
    this.#options.owner.onRefused(this, refusal, detail);
  }

  /** The handshake is done. */
  onSecure(socket: TLSSocket): void {
    this.#end();
    this.#options.owner.onSecure(this, socket);
  }

  #read(): void {
    const { socket } = this.#options;
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) {
      // The peer has closed the connection, or there is no data yet.
      if (socket.readableEnded || socket.destroyed) this.destroy();
      return;
    }
    const bytes = this.#bytes === undefined ? chunk : Buffer.concat([this.#bytes, chunk]);
    this.#bytes = undefined;
    const start = this.#headerRead ? 0 : this.#readHeader(bytes);
    if (start < 0) return;
    if (start === bytes.length) return;
    socket.off("readable", this.#onReadable);
    const rest = bytes.subarray(start);
    if (rest[0] === HANDSHAKE_RECORD) {
      this.#handshaking = true;
      socket.unshift(rest);
      this.#options.owner.handshake(socket);
    } else this.#onPlain(rest);
  }

  /** Returns the offset after the header; -1 if the header isn't complete or isn't allowed. */
  #readHeader(bytes: Buffer): number {
    const header = parseProxyHeader(bytes, 0, bytes.length);
    if (header === "incomplete") {
      this.#bytes = bytes;
      return -1;
    }
    this.#headerRead = true;
    if (typeof header === "object") {
      this.address = header.address ?? this.peer;
      this.hasHeader = true;
      return header.end;
    }
    if (header === "absent" && this.#options.header === "optional") return 0;
    this.refuse("proxy_protocol", header);
    return -1;
  }

  #onPlain(bytes: Buffer): void {
    const { owner, plainAllowed, socket } = this.#options;
    if (plainAllowed) {
      this.#end();
      socket.unshift(bytes);
      owner.onPlain(this, socket);
      return;
    }
    this.#end();
    this.#refused = true;
    socket.end(PLAIN_ANSWER, "latin1", () => socket.destroy());
    owner.onRefused(this, "plain", "not TLS");
  }

  #onClose(): void {
    if (!this.#handshaking) {
      if (!this.#over) this.refuse("handshake", "closed");
      return;
    }
    if (!this.#over) this.#options.owner.onClosed(this);
    this.#end();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.owner.onGone(this);
  }
}
