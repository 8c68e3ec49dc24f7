// One stream of a connection: sends as far as its windows allow, and counts received bytes that haven't been consumed
// (RFC 9113 sections 5.1 and 5.2). Its connection finds it by its id, and writes its frames.

import type { ByteBudget } from "../../net/byte-budget.js";
import { ByteStore } from "../../net/byte-store.js";
import type { RequestHead, ResponseHead } from "../head.js";
import type { RequestTarget } from "../request-rewrite.js";
import { NO_ERROR } from "./error-codes.js";
import type { FrameSender } from "./frame-sender.js";
import { ReceiveWindow } from "./receive-window.js";

/** The events that the owner of a stream receives. Bytes are valid during the call. */
export interface StreamHandler {
  /** A piece of the body. The owner calls `consume` of the stream, in this call or later. */
  onData(buffer: Buffer, start: number, end: number): void;
  /** The peer has finished sending. `trailers`: field lines, followed by a blank line; valid during the call. */
  onEnd(trailers: Buffer | undefined): void;
  /** There is room again after `congested`. */
  onWritable(): void;
  /**
   * The stream ended early. This is the last call. `code`: the peer's reason; ours, if the peer made an error; or
   * CONNECTION_GONE.
   */
  onReset(code: number): void;
}

/** What a stream needs from its connection. */
export interface StreamConnection {
  /** Budget for bytes that are queued until a window opens. */
  readonly unsent: ByteBudget;
  readonly sender: FrameSender;
  /** `count` bytes received on any stream have been processed. */
  credit(count: number): void;
  /** The stream has ended. `reset`: we reset it. */
  forget(stream: H2Stream, reset: boolean): void;
}

/** The handler of a stream without an owner. */
const IGNORE: StreamHandler = { onData() {}, onEnd() {}, onWritable() {}, onReset() {} };

export class H2Stream {
  readonly id: number;
  handler: StreamHandler;
  /** How many bytes the peer accepts, and how many we accept. */
  sendWindow: number;
  readonly receiveWindow: ReceiveWindow;
  /** The final head of the response hasn't arrived yet. Always false in a server. */
  awaitsHead: boolean;
  /** The peer has finished sending. */
  receiveEnded: boolean;
  /** We have finished sending. */
  sendEnded: boolean;
  /** The stream has ended; its connection no longer knows it. */
  closed: boolean;
  readonly #connection: StreamConnection;
  /** Bytes that are queued for a window, or for the stream's turn. */
  readonly #pending: ByteStore;
  /** The stream's end follows the queued bytes. */
  #ending: boolean;
  #trailers: Buffer | undefined;
  /** When our direction ends, the other one stays open. */
  #halfClose: boolean;
  /** Bytes of the body that still have to be sent, if its length was announced; otherwise -1. */
  #lengthLeft: number;
  /** Received bytes that the owner hasn't consumed. */
  #held: number;
  /** Number of queued bytes at the last call of `stuckMs`, and since when it is the same. */
  #waitingBytes: number;
  #waitingSinceMs: number;

  constructor(connection: StreamConnection, id: number, sendWindow: number, windowBytes: number) {
    this.id = id;
    this.handler = IGNORE;
    this.sendWindow = sendWindow;
    this.receiveWindow = new ReceiveWindow(windowBytes);
    this.awaitsHead = false;
    this.receiveEnded = false;
    this.sendEnded = false;
    this.closed = false;
    this.#connection = connection;
    this.#pending = new ByteStore(connection.unsent, true);
    this.#ending = false;
    this.#trailers = undefined;
    this.#halfClose = false;
    this.#lengthLeft = -1;
    this.#held = 0;
    this.#waitingBytes = 0;
    this.#waitingSinceMs = 0;
  }

  /** Bytes pass in both directions; only their protocol knows what silence means. */
  get raw(): boolean {
    return this.#halfClose;
  }

  /** Number of queued bytes. */
  get pendingBytes(): number {
    return this.#pending.length;
  }

  /** The owner hasn't consumed all bytes that it was given. */
  get hasUnconsumed(): boolean {
    return this.#held > 0;
  }

  // For the owner.

  /** Sends the head of a request. Request and response end separately. `last`: nothing follows. */
  request(head: RequestHead, target: RequestTarget, secure: boolean, last: boolean): void {
    this.awaitsHead = true;
    this.#halfClose = true;
    this.#lengthLeft = last ? -1 : head.contentLength;
    this.#connection.sender.sendRequest(this.id, head, target, secure, last);
    if (last) this.#onSent();
  }

  /** Sends the head of a response. `last`: nothing follows. */
  respond(head: ResponseHead, dateLine: Buffer | undefined, last: boolean): void {
    if (this.closed) return;
    if (head.status >= 200) this.#lengthLeft = head.contentLength;
    this.#connection.sender.sendHead(this.id, head, dateLine, last);
    if (last) this.#onSent();
  }

  /** Sends a piece of the body; queues what can't be sent yet. */
  write(buffer: Buffer, start: number, end: number): void {
    if (this.closed || this.sendEnded) return;
    if (this.#lengthLeft >= 0) this.#lengthLeft -= end - start;
    const last = this.#lengthLeft === 0;
    const taken =
      this.#pending.length > 0 ? 0 : this.#connection.sender.sendData(this, buffer, start, end, last);
    if (taken === end - start) {
      if (last) this.sendEnded = true;
      return;
    }
    this.#pending.append(buffer, start + taken, end);
    this.#connection.sender.wait(this);
  }

  /** Sends a head after which bytes pass in both directions, each of which ends separately. */
  open(head: ResponseHead): void {
    if (this.closed) return;
    this.#halfClose = true;
    this.#connection.sender.sendHead(this.id, head, undefined, false);
  }

  /** The body is complete. `trailers`: field lines. */
  end(trailers: Buffer | undefined): void {
    if (this.closed || this.#ending) return;
    if (this.#pending.length > 0) {
      this.#ending = true;
      this.#trailers = trailers === undefined ? undefined : Buffer.from(trailers);
      return;
    }
    this.#sendEnd(trailers);
  }

  /** `count` bytes of the body have been processed. */
  consume(count: number): void {
    if (this.closed) return;
    this.#held -= count;
    this.#connection.credit(count);
    this.#grant(count);
  }

  /** The owner has finished: queued bytes are still sent, bytes that still arrive are dropped. */
  leave(): void {
    this.handler = IGNORE;
    if (this.#halfClose && this.sendEnded) this.reset(NO_ERROR);
    this.#halfClose = false;
  }

  /** Milliseconds since the peer last accepted any of the queued bytes; 0 if none are queued. Must be called regularly. */
  stuckMs(nowMs: number): number {
    const waiting = this.#pending.length;
    if (waiting === 0 || waiting !== this.#waitingBytes) {
      this.#waitingBytes = waiting;
      this.#waitingSinceMs = nowMs;
    }
    return nowMs - this.#waitingSinceMs;
  }

  /** Ends the stream early. */
  reset(code: number): void {
    if (this.closed) return;
    this.#connection.sender.sendReset(this.id, code);
    this.#close(true);
  }

  // For the connection.

  /** A piece of the body has arrived. */
  deliver(buffer: Buffer, start: number, end: number): void {
    if (this.handler === IGNORE) {
      this.#connection.credit(end - start);
      return;
    }
    this.#held += end - start;
    this.handler.onData(buffer, start, end);
  }

  /** Bytes have arrived that aren't data: padding. */
  skip(count: number): void {
    this.#connection.credit(count);
    if (!this.closed) this.#grant(count);
  }

  /** The peer has finished sending. */
  receiveEnd(trailers: Buffer | undefined): void {
    this.receiveEnded = true;
    this.handler.onEnd(trailers);
    this.settle();
  }

  /** Closes the stream if both sides have finished sending. */
  settle(): void {
    if (this.receiveEnded && this.sendEnded) this.#close(false);
  }

  /** Sends queued bytes as far as possible, at most `maxBytes` of them. Returns whether there are more. */
  resume(maxBytes: number): boolean {
    const pending = this.#pending;
    const { buffer, start, end } = pending;
    const stop = Math.min(end, start + maxBytes);
    const last = this.#lengthLeft === 0 && stop === end;
    const taken = this.#connection.sender.sendData(this, buffer, start, stop, last);
    pending.consumeTo(start + taken);
    if (pending.length > 0) return true;
    if (last) this.sendEnded = true;
    if (this.#ending) this.#sendEnd(this.#trailers);
    else this.handler.onWritable();
    return false;
  }

  /** The peer has reset the stream or won't process it, or the connection is gone. */
  drop(code: number): void {
    const { handler } = this;
    this.#close(false);
    handler.onReset(code);
  }

  #sendEnd(trailers: Buffer | undefined): void {
    if (!this.sendEnded) {
      if (trailers === undefined) this.#connection.sender.sendEnd(this.id);
      else this.#connection.sender.sendTrailers(this.id, trailers);
    }
    this.#onSent();
  }

  /** We have finished sending. Anything that the peer still sends isn't wanted (RFC 9113 section 8.1). */
  #onSent(): void {
    this.sendEnded = true;
    if (this.receiveEnded) this.#close(false);
    else if (!this.#halfClose) this.reset(NO_ERROR);
  }

  #grant(count: number): void {
    if (this.receiveEnded) return;
    const granted = this.receiveWindow.give(count);
    if (granted > 0) this.#connection.sender.sendWindow(this.id, granted);
  }

  #close(reset: boolean): void {
    if (this.closed) return;
    this.closed = true;
    this.handler = IGNORE;
    this.#pending.clear();
    this.#trailers = undefined;
    if (this.#held > 0) this.#connection.credit(this.#held);
    this.#held = 0;
    this.#connection.forget(this, reset);
  }
}
