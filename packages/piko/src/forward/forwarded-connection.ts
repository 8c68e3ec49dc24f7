// A connection of a local client that is joined to an endpoint: bytes pass between its socket and a WebSocket to the server.
// Each direction ends separately, and a cut on one side cuts the other (decision 004).

import { type OpenedWebSocket, startWebSocket } from "@piko/client/internal";
import type {
  ByteSocket,
  SocketHandler,
  TunnelError,
  WebSocketConnection,
  WebSocketHandler,
} from "@piko/tunnel";

export class ForwardedConnection implements SocketHandler {
  /** Number of bytes from the local client, and to it. */
  sentBytes = 0;
  receivedBytes = 0;
  readonly #local: ByteSocket;
  readonly #webSocket: WebSocketConnection;
  readonly #onDone: (error: Error | undefined) => void;
  #localClosed = false;
  #remoteClosed = false;
  #error: Error | undefined;

  /** Takes over both sides. `local` must be paused. `onDone` is called once, when both are closed. */
  constructor(local: ByteSocket, opened: OpenedWebSocket, onDone: (error: Error | undefined) => void) {
    this.#local = local;
    this.#onDone = onDone;
    const remote: WebSocketHandler = {
      onPayload: (buffer, start, end) => this.#toLocal(buffer, start, end),
      onEnd: () => this.#local.end(),
      onDrain: () => this.#local.resume(),
      onClose: (error) => this.#onRemoteClose(error),
    };
    this.#webSocket = startWebSocket(opened, remote);
    local.handler = this;
    local.resume();
  }

  /** Cuts both sides, so that neither mistakes a part of the data for all of it. */
  cut(): void {
    this.#webSocket.reset();
    this.#local.reset();
  }

  onBytes(buffer: Buffer, start: number, end: number): void {
    this.sentBytes += end - start;
    this.#webSocket.write(buffer, start, end);
    if (this.#webSocket.out.congested) this.#local.pause();
  }

  onEnd(): void {
    this.#webSocket.end();
  }

  onDrain(): void {
    this.#webSocket.socket.resume();
  }

  onClose(error: Error | undefined): void {
    this.#localClosed = true;
    this.#error ??= error;
    // Without an error, the client has ended both directions, and the server still has to get its last bytes.
    if (error !== undefined) this.#webSocket.reset();
    this.#finish();
  }

  #toLocal(buffer: Buffer, start: number, end: number): void {
    this.receivedBytes += end - start;
    this.#local.out.write(buffer, start, end);
    if (this.#local.out.congested) this.#webSocket.socket.pause();
  }

  #onRemoteClose(error: TunnelError | undefined): void {
    this.#remoteClosed = true;
    this.#error ??= error;
    // A Go server has closed both directions: the client gets the queued bytes, and anything that it still sends is dropped.
    if (error === undefined) this.#local.close();
    else this.#local.reset();
    this.#finish();
  }

  #finish(): void {
    if (this.#localClosed && this.#remoteClosed) this.#onDone(this.#error);
  }
}
