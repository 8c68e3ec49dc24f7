// A connection over loopback to a port under test: sends exactly what a test wants, and collects what it gets as text.

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { isResetAtEnd } from "@piko/tunnel";

/** How the other side ended the connection: normally, or by a reset. */
export type PeerEnd = "end" | "reset";

/** TLS of a client: the authority that it trusts, its protocols, and its certificate. */
export interface SecureOptions {
  readonly ca: string | Buffer;
  readonly protocols?: string[];
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

export class PortPeer {
  readonly socket: Socket;
  text = "";
  /** How the other side ended; undefined if it hasn't. */
  end: PeerEnd | undefined;
  #waiters: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (bytes: Buffer) => {
      this.text += bytes.toString("latin1");
      this.#wake();
    });
    socket.on("end", () => this.#ended(isResetAtEnd(socket) ? "reset" : "end"));
    socket.on("error", () => this.#ended("reset"));
    socket.on("close", () => this.#ended("end"));
  }

  static async connect(port: number, localAddress = "127.0.0.1"): Promise<PortPeer> {
    const socket = connect({ port, host: "127.0.0.1", localAddress });
    const peer = new PortPeer(socket);
    await once(socket, "connect");
    return peer;
  }

  /** Opens a connection with TLS; resolves after the handshake. */
  static async secure(
    port: number,
    { protocols = ["http/1.1"], ...options }: SecureOptions,
  ): Promise<PortPeer> {
    const host = "127.0.0.1";
    const socket = connectTls({ port, host, servername: "localhost", ALPNProtocols: protocols, ...options });
    const peer = new PortPeer(socket);
    await once(socket, "secureConnect");
    return peer;
  }

  /** The protocol chosen in the handshake (ALPN). */
  get protocol(): string | false | null | undefined {
    return (this.socket as Partial<TLSSocket>).alpnProtocol;
  }

  send(text: string): this {
    this.socket.write(text, "latin1");
    return this;
  }

  /** Resolves when `holds` returns true; it is called for each event. */
  async until(holds: (peer: PortPeer) => boolean): Promise<this> {
    while (!holds(this)) await new Promise<void>((resolve) => this.#waiters.push(resolve));
    return this;
  }

  /** Resolves with everything received, when the other side has ended. */
  async over(): Promise<string> {
    await this.until(({ end }) => end !== undefined);
    return this.text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.socket.closed) return;
    this.socket.destroy();
    await once(this.socket, "close");
  }

  #ended(how: PeerEnd): void {
    this.end ??= how;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }
}

/** Waits, turn by turn, for an effect over sockets that no event announces. */
export async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}
