// Joins a stream of the tunnel and a socket of the service, for TCP listeners: bytes pass in both directions, and each
// direction ends separately.

import type { ByteSocket, SocketHandler, StreamHandler, YamuxStream } from "@piko/tunnel";
import { ByteStore } from "../net/byte-store.js";

export interface StreamBridgeOptions {
  readonly stream: YamuxStream;
  /** The peer at the stream's other end supports half-close. A Go peer's FIN means that it has closed both directions. */
  readonly halfClose: boolean;
  /** Both sides have ended. Undefined: normally. Called once. */
  readonly onDone: (error: Error | undefined) => void;
}

export class StreamBridge implements StreamHandler {
  /** The handler for the socket. It is a separate object because the names of its callbacks clash with the stream's. */
  readonly socketHandler: SocketHandler;
  /** Number of bytes received from the stream. */
  receivedBytes: number;
  /** Number of bytes received from the service. */
  sentBytes: number;
  readonly #stream: YamuxStream;
  readonly #halfClose: boolean;
  readonly #onDone: (error: Error | undefined) => void;
  /** Bytes that the stream hasn't accepted. At most one read's worth, because the socket is paused meanwhile. */
  readonly #rest: ByteStore;
  #socket: ByteSocket | undefined;
  /** Received bytes that are queued in the socket. The stream's window opens for as many more when they have left. */
  #unconsumed: number;
  #socketEnded: boolean;
  #socketGone: boolean;
  #streamGone: boolean;
  #error: Error | undefined;
  #done: boolean;

  constructor({ stream, halfClose, onDone }: StreamBridgeOptions) {
    this.receivedBytes = 0;
    this.sentBytes = 0;
    this.#stream = stream;
    this.#halfClose = halfClose;
    this.#onDone = onDone;
    this.#rest = new ByteStore(undefined, true);
    this.#socket = undefined;
    this.#unconsumed = 0;
    this.#socketEnded = false;
    this.#socketGone = false;
    this.#streamGone = false;
    this.#error = undefined;
    this.#done = false;
    this.socketHandler = {
      onBytes: (buffer, start, end) => this.#toStream(buffer, start, end),
      onEnd: () => this.#onSocketEnd(),
      onDrain: () => this.#onSocketDrain(),
      onClose: (error) => this.#onSocketClose(error),
    };
  }

  /** Must be called once, with the socket that has `socketHandler`. */
  join(socket: ByteSocket): void {
    this.#socket = socket;
    if (this.#rest.length > 0) socket.pause();
  }

  onData(buffer: Buffer, start: number, end: number): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.receivedBytes += end - start;
    socket.out.write(buffer, start, end);
    if (socket.out.congested) this.#unconsumed += end - start;
    else this.#stream.consume(end - start);
  }

  onEnd(): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    if (this.#halfClose) {
      socket.end();
      return;
    }
    this.#dropStream();
    socket.close();
  }

  onWritable(): void {
    const rest = this.#rest;
    if (rest.length === 0 || this.#streamGone) return;
    rest.consumeTo(rest.start + this.#stream.write(rest.buffer, rest.start, rest.end));
    if (rest.length > 0) return;
    if (this.#socketEnded) this.#stream.end();
    else this.#socket?.resume();
    this.#finish();
  }

  onReset(): void {
    this.#streamGone = true;
    this.#rest.clear();
    this.#error ??= new Error("stream reset");
    // A reset, because the service must not mistake a part of the data for all of it.
    this.#socket?.reset();
    this.#finish();
  }

  #toStream(buffer: Buffer, start: number, end: number): void {
    this.sentBytes += end - start;
    if (this.#streamGone) return;
    let from = start;
    if (this.#rest.length === 0) from += this.#stream.write(buffer, start, end);
    if (from === end) return;
    this.#rest.append(buffer, from, end);
    this.#socket?.pause();
  }

  #onSocketEnd(): void {
    this.#socketEnded = true;
    if (this.#rest.length === 0) this.#stream.end();
  }

  #onSocketDrain(): void {
    const count = this.#unconsumed;
    if (count === 0) return;
    this.#unconsumed = 0;
    this.#stream.consume(count);
  }

  #onSocketClose(error: Error | undefined): void {
    this.#socketGone = true;
    // The connection ended without an end of its data, so what was passed on isn't complete.
    if (!this.#socketEnded && !this.#streamGone) {
      this.#error ??= error ?? new Error("service connection closed");
      this.#dropStream();
    }
    this.#finish();
  }

  #dropStream(): void {
    this.#streamGone = true;
    this.#rest.clear();
    // A peer that has already ended expects an end, not a reset.
    if (this.#stream.remoteEnded && this.#error === undefined) this.#stream.end();
    else this.#stream.reset();
  }

  #finish(): void {
    if (this.#done || !this.#socketGone || this.#rest.length > 0) return;
    this.#done = true;
    if (this.#error === undefined && !this.#streamGone && !this.#stream.remoteEnded) {
      // The service has closed both directions at once; the peer's further bytes can't be delivered.
      this.#stream.reset();
    }
    this.#onDone(this.#error);
  }
}
