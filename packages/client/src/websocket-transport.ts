// A dialled endpoint's WebSocket as the transport of an EndpointSocket: bounded in both directions, with half-closes.

import type { StreamHandler, TunnelError, WebSocketConnection, WebSocketHandler } from "@piko/tunnel";
import type { Transport } from "./endpoint-socket.js";
import { type OpenedWebSocket, startWebSocket } from "./open-websocket.js";

/** Reading stops when this many bytes are unread, as with a tunnel's window. */
const WINDOW_BYTES = 256 * 1024;
/** Maximum bytes per write, so that a long write stops when the socket is full. */
const WRITE_BYTES = 64 * 1024;

/** The transport of a dialled connection. */
export class WebSocketTransport implements Transport, WebSocketHandler {
  closed = false;
  readonly #handler: StreamHandler;
  readonly #connection: WebSocketConnection;
  #unread = 0;
  #blocked = false;

  constructor(opened: OpenedWebSocket, handler: StreamHandler) {
    this.#handler = handler;
    this.#connection = startWebSocket(opened, this);
  }

  write(buffer: Buffer, start: number, end: number): number {
    const { out } = this.#connection;
    let at = start;
    while (at < end && !out.congested) {
      const to = Math.min(end, at + WRITE_BYTES);
      this.#connection.write(buffer, at, to);
      at = to;
    }
    this.#blocked = at < end;
    return at - start;
  }

  consume(count: number): void {
    this.#unread -= count;
    if (this.#unread <= WINDOW_BYTES / 2) this.#connection.socket.resume();
  }

  end(): void {
    this.#connection.end();
  }

  reset(): void {
    this.#connection.reset();
  }

  onPayload(buffer: Buffer, start: number, end: number): void {
    this.#unread += end - start;
    this.#handler.onData(buffer, start, end);
    if (this.#unread > WINDOW_BYTES) this.#connection.socket.pause();
  }

  onEnd(): void {
    this.#handler.onEnd();
  }

  onDrain(): void {
    this.#unblock();
  }

  onClose(error: TunnelError | undefined): void {
    this.closed = true;
    if (error !== undefined) this.#handler.onReset();
    this.#unblock();
  }

  #unblock(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#handler.onWritable();
  }
}
