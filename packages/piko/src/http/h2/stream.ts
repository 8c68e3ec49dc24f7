// One stream of a connection: sends as far as its windows allow, and counts received bytes that haven't been consumed
// (RFC 9113 sections 5.1 and 5.2). Its connection finds it by its id, and writes for it.

import type { ByteBudget } from "../../net/byte-budget.js";
import { ByteStore } from "../../net/byte-store.js";
import type { RequestHead, ResponseHead } from "../head.js";
import type { RequestTarget } from "../request-rewrite.js";
import { NO_ERROR } from "./error-codes.js";
import type { FrameSender } from "./frame-sender.js";
import { ReceiveWindow } from "./receive-window.js";

/** The events that the owner of a stream receives. Bytes are valid during the call. */
export interface StreamHandler {
  /** A piece of the body; `consume` of the stream follows, in this call or later. */
  onData(buffer: Buffer, start: number, end: number): void;
  /** The peer sends no more. `trailers`: its field lines, with a blank one; valid during the call. */
  onEnd(trailers: Buffer | undefined): void;
  /** There is room again after `congested`. */
  onWritable(): void;
  /**
   * The stream is over before its time. The last call. `code`: why, by the peer; by us, where it has made a mistake; or
   * CONNECTION_GONE.
   */
  onReset(code: number): void;
}

/** What a stream asks of its connection. */
export interface StreamConnection {
  /** Memory of bytes that wait for windows. */
  readonly unsent: ByteBudget;
  readonly sender: FrameSender;
  /** So many bytes that came on any stream are out of the way. */
  credit(count: number): void;
  /** The stream is over; `reset`: by us. */
  forget(stream: H2Stream, reset: boolean): void;
}

/** Has no owner any more. */
const NOBODY: StreamHandler = { onData() {}, onEnd() {}, onWritable() {}, onReset() {} };

export class H2Stream {
  readonly id: number;
  handler: StreamHandler;
  /** Bytes that the peer takes, and that we take. */
  sendWindow: number;
  readonly receiveWindow: ReceiveWindow;
  /** A response's head has yet to come on it; never so at a server. */
  awaitsHead: boolean;
  /** The peer has sent all. */
  receiveEnded: boolean;
  /** We have. */
  sendEnded: boolean;
  /** It is over: it is known to its connection no more. */
  closed: boolean;
  readonly #connection: StreamConnection;
  /** Bytes that wait for a window, or for their turn. */
  readonly #pending: ByteStore;
  /** The end is written after them. */
  #ending: boolean;
  #trailers: Buffer | undefined;
  /** The end of what we send leaves the other direction open. */
  #halfClose: boolean;
  /** Bytes of the body that this response has still to send, if it has said how many; -1 if not. */
  #lengthLeft: number;
  /** Bytes that came and the owner holds. */
  #held: number;
  /** Bytes that waited when it was last asked, and since when they aren't fewer. */
  #waitingBytes: number;
  #waitingSinceMs: number;

  constructor(connection: StreamConnection, id: number, sendWindow: number, windowBytes: number) {
    this.id = id;
    this.handler = NOBODY;
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

  /** Bytes pass both ways: what silence means, only their protocol knows. */
  get raw(): boolean {
    return this.#halfClose;
  }

  /** Bytes that wait. */
  get pendingBytes(): number {
    return this.#pending.length;
  }

  /** The owner has been given bytes, and has not consumed all. */
  get holds(): boolean {
    return this.#held > 0;
  }

  // For the owner.

  /** Sends the head of a request; its response is on its own. `last`: nothing follows. */
  request(head: RequestHead, target: RequestTarget, secure: boolean, last: boolean): void {
    this.awaitsHead = true;
    this.#halfClose = true;
    this.#lengthLeft = last ? -1 : head.contentLength;
    this.#connection.sender.sendRequest(this.id, head, target, secure, last);
    if (last) this.#onSent();
  }

  /** Sends a head. `last`: nothing follows. */
  respond(head: ResponseHead, dateLine: Buffer | undefined, last: boolean): void {
    if (this.closed) return;
    if (head.status >= 200) this.#lengthLeft = head.contentLength;
    this.#connection.sender.sendHead(this.id, head, dateLine, last);
    if (last) this.#onSent();
  }

  /** Sends a piece of the body, or keeps what may not go yet. */
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

  /** After this head bytes pass both ways, and each direction ends by itself. */
  open(head: ResponseHead): void {
    if (this.closed) return;
    this.#halfClose = true;
    this.#connection.sender.sendHead(this.id, head, undefined, false);
  }

  /** The body is whole. `trailers`: field lines. */
  end(trailers: Buffer | undefined): void {
    if (this.closed || this.#ending) return;
    if (this.#pending.length > 0) {
      this.#ending = true;
      this.#trailers = trailers === undefined ? undefined : Buffer.from(trailers);
      return;
    }
    this.#sendEnd(trailers);
  }

  /** So many bytes of the body are out of the way. */
  consume(count: number): void {
    if (this.closed) return;
    this.#held -= count;
    this.#connection.credit(count);
    this.#tell(count);
  }

  /** The owner has said all: what waits continues by itself, what still comes is dropped. */
  leave(): void {
    this.handler = NOBODY;
    if (this.#halfClose && this.sendEnded) this.reset(NO_ERROR);
    this.#halfClose = false;
  }

  /** Milliseconds in which the peer has taken nothing of what waits; 0 if nothing does. Called now and then. */
  stuckMs(nowMs: number): number {
    const waiting = this.#pending.length;
    if (waiting === 0 || waiting !== this.#waitingBytes) {
      this.#waitingBytes = waiting;
      this.#waitingSinceMs = nowMs;
    }
    return nowMs - this.#waitingSinceMs;
  }

  /** Ends it before its time. */
  reset(code: number): void {
    if (this.closed) return;
    this.#connection.sender.sendReset(this.id, code);
    this.#close(true);
  }

  // For the connection.

  /** A piece of the body has come. */
  deliver(buffer: Buffer, start: number, end: number): void {
    if (this.handler === NOBODY) {
      this.#connection.credit(end - start);
      return;
    }
    this.#held += end - start;
    this.handler.onData(buffer, start, end);
  }

  /** Bytes came that belong to no stream data: padding. */
  skip(count: number): void {
    this.#connection.credit(count);
    if (!this.closed) this.#tell(count);
  }

  /** The peer has sent all. */
  receiveEnd(trailers: Buffer | undefined): void {
    this.receiveEnded = true;
    this.handler.onEnd(trailers);
    this.settle();
  }

  /** Both sides may have sent all. */
  settle(): void {
    if (this.receiveEnded && this.sendEnded) this.#close(false);
  }

  /** Sends what waits, as far as it may go: `most` bytes at a time. Returns whether there is more. */
  resume(most: number): boolean {
    const pending = this.#pending;
    const { buffer, start, end } = pending;
    const stop = Math.min(end, start + most);
    const last = this.#lengthLeft === 0 && stop === end;
    const taken = this.#connection.sender.sendData(this, buffer, start, stop, last);
    pending.consumeTo(start + taken);
    if (pending.length > 0) return true;
    if (last) this.sendEnded = true;
    if (this.#ending) this.#sendEnd(this.#trailers);
    else this.handler.onWritable();
    return false;
  }

  /** The peer has reset it, won't look at it, or the connection is gone. */
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

  /** Our side is whole. What the peer still sends is not wanted (RFC 9113 section 8.1). */
  #onSent(): void {
    this.sendEnded = true;
    if (this.receiveEnded) this.#close(false);
    else if (!this.#halfClose) this.reset(NO_ERROR);
  }

  #tell(count: number): void {
    if (this.receiveEnded) return;
    const told = this.receiveWindow.give(count);
    if (told > 0) this.#connection.sender.sendWindow(this.id, told);
  }

  #close(reset: boolean): void {
    if (this.closed) return;
    this.closed = true;
    this.handler = NOBODY;
    this.#pending.clear();
    this.#trailers = undefined;
    if (this.#held > 0) this.#connection.credit(this.#held);
    this.#held = 0;
    this.#connection.forget(this, reset);
  }
}
