// A connection whose PROXY protocol header hasn't been read yet; after that, it belongs to the client named in the header.

import type { ByteSocket, SocketHandler } from "@piko/tunnel";
import type { ByteBudget } from "../byte-budget.js";
import { ByteStore } from "../byte-store.js";
import type { DeadlineSweep, Expiring } from "../deadline-sweep.js";
import { parseProxyHeader } from "./proxy-protocol.js";

/** Takes over the connection. */
export interface ProxyHeaderOwner {
  /** The header was read, or is missing and not required. The handler that is set now gets the bytes after it. */
  onClient(socket: ByteSocket, address: string, lacksHeader?: boolean): void;
  /** Whether the connection may come without a header. */
  isHeaderOptional(peer: string): boolean;
  /** The first bytes aren't a header. There is no response: the sender doesn't speak the protocols of the port. */
  onHeaderRefused(peer: string, reason: string): void;
  /** The header didn't arrive in time. */
  onHeaderTimeout(): void;
  /** The connection was passed on or closed. */
  onGone(connection: ProxyHeaderConnection): void;
}

export interface ProxyHeaderOptions {
  readonly socket: ByteSocket;
  /** The sender's own address. */
  readonly peer: string;
  readonly owner: ProxyHeaderOwner;
  readonly budget: ByteBudget;
  readonly sweep: DeadlineSweep;
  /** When the header has to be complete. */
  readonly deadlineMs: number;
}

export class ProxyHeaderConnection implements SocketHandler, Expiring {
  readonly #socket: ByteSocket;
  readonly #peer: string;
  readonly #owner: ProxyHeaderOwner;
  readonly #bytes: ByteStore;
  readonly #sweep: DeadlineSweep;
  readonly #deadlineMs: number;
  #over = false;

  constructor({ socket, peer, owner, budget, sweep, deadlineMs }: ProxyHeaderOptions) {
    this.#socket = socket;
    this.#peer = peer;
    this.#owner = owner;
    this.#bytes = new ByteStore(budget);
    this.#sweep = sweep;
    this.#deadlineMs = deadlineMs;
    socket.handler = this;
    sweep.add(this);
  }

  onBytes(buffer: Buffer, start: number, end: number): void {
    if (this.#over) return;
    // The stored bytes are the beginning of a header, so there are few.
    const bytes = this.#bytes;
    bytes.append(buffer, start, end);
    const header = parseProxyHeader(bytes.buffer, bytes.start, bytes.end);
    if (header === "incomplete") return;
    if (typeof header === "object") this.#goOn(header.address ?? this.#peer, header.end);
    else if (header === "absent" && this.#owner.isHeaderOptional(this.#peer))
      this.#goOn(this.#peer, bytes.start, true);
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
    this.#owner.onHeaderTimeout();
    this.destroy();
  }

  onFault(): void {
    this.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #goOn(address: string, at: number, lacksHeader = false): void {
    const { buffer, end } = this.#bytes;
    this.#release();
    this.#owner.onClient(this.#socket, address, lacksHeader);
    if (at < end) this.#socket.handler.onBytes(buffer, at, end);
  }

  #refuse(reason: string): void {
    this.#owner.onHeaderRefused(this.#peer, reason);
    this.destroy();
  }

  #release(): void {
    if (this.#over) return;
    this.#over = true;
    this.#bytes.clear();
    this.#sweep.remove(this);
    this.#owner.onGone(this);
  }
}
