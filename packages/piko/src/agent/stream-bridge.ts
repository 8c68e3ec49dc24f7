// Joins a stream of the tunnel to a socket of the service, for TCP listeners: bytes pass in both directions, each
// direction ends separately.

import type { ByteSocket, SocketHandler, StreamHandler, YamuxStream } from "@piko/tunnel";
import { ByteStore } from "../net/byte-store.js";

export interface StreamBridgeOptions {
  readonly stream: YamuxStream;
  /** The peer at the stream's other end knows half-closes; Go peers have closed both directions when they send FIN. */
  readonly halfClose: boolean;
  /** All is over. Undefined: both sides ended in order. Called once. */
  readonly onDone: (error: Error | undefined) => void;
}

export class StreamBridge implements StreamHandler {
  /** To be given to the socket; its callbacks have some of the stream's names. */
  readonly socketHandler: SocketHandler;
  /** Bytes that came from the stream. */
  receivedBytes: number;
  /** Bytes that came from the service. */
  sentBytes: number;
  readonly #stream: YamuxStream;
  readonly #halfClose: boolean;
  readonly #onDone: (error: Error | undefined) => void;
  /** Bytes that the stream hasn't taken; one read's worth, since the socket is paused meanwhile. */
  readonly #rest: ByteStore;
  #socket: ByteSocket | undefined;
  /** Received bytes that wait in the socket before the stream's window is opened for as many more. */
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

  /** To be called once, with the socket that has `socketHandler`. */
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
    // The service must not take what it has for all there is.
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
    // Gone without its end: what was passed on isn't all.
    if (!this.#socketEnded && !this.#streamGone) {
      this.#error ??= error ?? new Error("service connection closed");
      this.#dropStream();
    }
    this.#finish();
  }

  #dropStream(): void {
    this.#streamGone = true;
    this.#rest.clear();
    // A peer that has ended already expects an end, not a reset.
    if (this.#stream.remoteEnded && this.#error === undefined) this.#stream.end();
    else this.#stream.reset();
  }

  #finish(): void {
    if (this.#done || !this.#socketGone || this.#rest.length > 0) return;
    this.#done = true;
    if (this.#error === undefined && !this.#streamGone && !this.#stream.remoteEnded) {
      // The service has closed both ways at once; what the peer still sends has no taker.
      this.#stream.reset();
    }
    this.#onDone(this.#error);
  }
}
