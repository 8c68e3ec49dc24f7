// A connection before its PROXY protocol header is read: from there on it is the client's that the header names.

import type { ByteSocket, SocketHandler } from "@piko/tunnel";
import { ByteStore } from "../../net/byte-store.js";
import { deadlineAfter, type Expiring } from "../../net/deadline-sweep.js";
import { parseProxyHeader } from "../../net/accept/proxy-protocol.js";
import type { ProxyContext } from "../exchange/proxy-context.js";

/** Who goes on with the connection. */
export interface ProxyHeaderOwner {
  /** The header is read, or there is none and need not be. The handler that is set now gets the bytes behind it. */
  onClient(socket: ByteSocket, address: string): void;
  onGone(connection: ProxyHeaderConnection): void;
}

export class ProxyHeaderConnection implements SocketHandler, Expiring {
  readonly #context: ProxyContext;
  readonly #socket: ByteSocket;
  /** The sender's own address. */
  readonly #peer: string;
  readonly #owner: ProxyHeaderOwner;
  readonly #bytes: ByteStore;
  readonly #deadlineMs: number;
  #over = false;

  constructor(context: ProxyContext, socket: ByteSocket, peer: string, owner: ProxyHeaderOwner) {
    this.#context = context;
    this.#socket = socket;
    this.#peer = peer;
    this.#owner = owner;
    this.#bytes = new ByteStore(context.budget);
    this.#deadlineMs = deadlineAfter(context.clock.now(), context.config.http.readHeaderTimeoutMs);
    socket.handler = this;
    context.sweep.add(this);
  }

  onBytes(buffer: Buffer, start: number, end: number): void {
    if (this.#over) return;
    // What is kept is a header's beginning, so it stays small.
    const bytes = this.#bytes;
    bytes.append(buffer, start, end);
    const header = parseProxyHeader(bytes.buffer, bytes.start, bytes.end);
    if (header === "incomplete") return;
    if (typeof header === "object") this.#goOn(header.address ?? this.#peer, header.end);
    else if (header === "absent" && this.#mayBeAbsent()) this.#goOn(this.#peer, bytes.start);
    else this.#refuse(header);
  }

  onEnd(): void {
    this.#socket.close();
  }

  onDrain(): void {}

  onClose(): void {
    this.#release();
  }

  sweep(nowMs: number): void {
    if (nowMs < this.#deadlineMs) return;
    this.#context.limits.hit("read_header_timeout");
    this.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #goOn(address: string, at: number): void {
    const { buffer, end } = this.#bytes;
    this.#release();
    this.#owner.onClient(this.#socket, address);
    if (at < end) this.#socket.handler.onBytes(buffer, at, end);
  }

  /** Nodes of the cluster speak to each other without one. */
  #mayBeAbsent(): boolean {
    return this.#context.config.proxyProtocol === "optional" || this.#context.isNode(this.#peer);
  }

  /** There is nobody to answer: whoever sent this speaks neither protocol. */
  #refuse(reason: string): void {
    this.#context.limits.hit("proxy_protocol");
    this.#context.logger.debug("proxy protocol header refused", { "client-ip": this.#peer, reason });
    this.destroy();
  }

  #release(): void {
    if (this.#over) return;
    this.#over = true;
    this.#bytes.clear();
    this.#context.sweep.remove(this);
    this.#owner.onGone(this);
  }
}
