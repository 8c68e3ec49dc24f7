// A connection that a port has no room for. It waits for the first bytes of a request, because clients treat a response before
// their request as an error; then the refusal is sent and the connection closed.

import type { ByteSocket, SocketHandler } from "@piko/tunnel";
import type { DeadlineSweep, Expiring } from "../deadline-sweep.js";

/** Maximum connections of a port that wait for a refusal; further ones are closed. */
export const MAX_REFUSED = 1_024;
/** Maximum time until a request begins. */
export const REFUSED_PATIENCE_MS = 2_000;

export interface RefusedConnectionOptions {
  readonly socket: ByteSocket;
  readonly nowMs: number;
  readonly sweep: DeadlineSweep;
  /** Returns the refusal, in Latin-1, for a connection that begins with these bytes. */
  readonly answer: (buffer: Buffer, start: number, end: number) => string;
  readonly onGone: (connection: RefusedConnection) => void;
}

export class RefusedConnection implements SocketHandler, Expiring {
  readonly #socket: ByteSocket;
  readonly #deadlineMs: number;
  readonly #sweep: DeadlineSweep;
  readonly #answer: RefusedConnectionOptions["answer"];
  readonly #onGone: (connection: RefusedConnection) => void;

  constructor({ socket, nowMs, sweep, answer, onGone }: RefusedConnectionOptions) {
    this.#socket = socket;
    this.#deadlineMs = nowMs + REFUSED_PATIENCE_MS;
    this.#sweep = sweep;
    this.#answer = answer;
    this.#onGone = onGone;
    socket.handler = this;
    sweep.add(this);
  }

  onBytes(buffer: Buffer, start: number, end: number): void {
    this.#socket.out.writeLatin1(this.#answer(buffer, start, end));
    this.#socket.close();
  }

  onEnd(): void {
    this.#socket.close();
  }

  onDrain(): void {}

  onClose(): void {
    this.#sweep.remove(this);
    this.#onGone(this);
  }

  sweep(nowMs: number): void {
    if (nowMs >= this.#deadlineMs) this.destroy();
  }

  onFault(): void {
    this.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
