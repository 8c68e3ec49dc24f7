// A connection that the proxy port has no room for. It waits for the first bytes of a request, because clients take an
// answer that comes before they have asked for a fault; then it gets its refusal and ends.

import type { ByteSocket, SocketHandler } from "@piko/tunnel";
import { errorResponse } from "../../http/h1/error-response.js";
import type { HttpError } from "../../http/errors.js";
import type { Expiring } from "../../net/deadline-sweep.js";
import type { ProxyContext } from "../exchange/proxy-context.js";
import { fieldsOf } from "../exchange/proxy-limits.js";

/** How long a request may take to begin. */
const PATIENCE_MS = 2_000;
const UPPER_H = 0x48;

export class RefusedConnection implements SocketHandler, Expiring {
  readonly #context: ProxyContext;
  readonly #socket: ByteSocket;
  readonly #error: HttpError;
  readonly #deadlineMs: number;
  readonly #onGone: (connection: RefusedConnection) => void;

  constructor(
    context: ProxyContext,
    socket: ByteSocket,
    error: HttpError,
    onGone: (connection: RefusedConnection) => void,
  ) {
    this.#context = context;
    this.#socket = socket;
    this.#error = error;
    this.#deadlineMs = context.clock.now() + PATIENCE_MS;
    this.#onGone = onGone;
    socket.handler = this;
    context.sweep.add(this);
  }

  onBytes(buffer: Buffer, start: number): void {
    const { status, message } = this.#error;
    const dateLine = this.#context.dateLine.get();
    const headOnly = buffer[start] === UPPER_H;
    const extra = fieldsOf(this.#error);
    this.#socket.out.writeLatin1(errorResponse({ status, message, dateLine, close: true, headOnly, extra }));
    this.#socket.close();
  }

  onEnd(): void {
    this.#socket.close();
  }

  onDrain(): void {}

  onClose(): void {
    this.#context.sweep.remove(this);
    this.#onGone(this);
  }

  sweep(nowMs: number): void {
    if (nowMs >= this.#deadlineMs) this.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
