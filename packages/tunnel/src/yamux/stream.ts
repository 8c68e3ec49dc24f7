// One yamux stream: flow control and the two half-closes. Bytes aren't buffered here: received ones are passed to the handler
// in the same turn, sent ones to the session's outbox.

import { faults } from "../faults.js";
import { FLAG_FIN, FLAG_RST, INITIAL_WINDOW_BYTES, MAX_DATA_BYTES } from "./frame.js";
import type { DrainTurns } from "./drain-turns.js";
import type { YamuxFrameWriter } from "./frame-writer.js";

/**
 * The events that the owner of a stream receives. No call follows `onReset`; only `onReset` or `onWritable` may follow `onEnd`. If a
 * callback throws, that is the owner's fault: only this stream ends, and `onReset` follows.
 */
export interface StreamHandler {
  /**
   * Bytes arrived. They are valid only during the call: copy what has to stay. Call `consume` for them when there is room for more; until
   * then at most the window (256 KiB) can arrive.
   */
  onData(buffer: Buffer, start: number, end: number): void;
  /** The peer sends no more. Go peers don't read any more either: answer with `end`. */
  onEnd(): void;
  /** `write` accepted less than all bytes earlier, and accepts bytes again. */
  onWritable(): void;
  /** The stream has closed without a normal end: reset by the peer, or the session ended. */
  onReset(): void;
}

/** Updates are sent when this much of the window is used up. */
const UPDATE_FROM_BYTES = INITIAL_WINDOW_BYTES / 2;

// The states of a stream, in order. From LOCAL_ENDED on it sends nothing, from ENDED on it is closed.
const OPEN = 0;
const REMOTE_ENDED = 1;
const LOCAL_ENDED = 2;
/** Both sides have sent FIN. */
const ENDED = 3;
/** Reset by either side, or lost with its session. */
const LOST = 4;

// Whether `write` accepts bytes. If not, `onWritable` has to follow.
const WRITABLE = 0;
const AWAITING_WINDOW = 1;
const AWAITING_DRAIN = 2;

/** What a stream needs from its session. */
export interface StreamSession {
  readonly ended: boolean;
  readonly peerHalfCloses: boolean;
  readonly turns: DrainTurns;
  readonly frames: YamuxFrameWriter;
  /** To be called when the stream has ended. */
  forget(stream: YamuxStream): void;
}

export class YamuxStream {
  handler: StreamHandler;
  /** 0 while the stream is queued. */
  id: number;
  readonly #session: StreamSession;
  #sendWindow: number;
  #receiveWindow: number;
  #consumed: number;
  #pendingFlags: number;
  /** Whether SYN was sent and no ACK has arrived. */
  #unacknowledged: boolean;
  #state: number;
  #writing: number;
  /** Bytes that went ahead on a congested socket, and in which of its congestions. */
  #passed: number;
  #passedIn: number;

  /** Use `YamuxSession.openStream`. */
  constructor(session: StreamSession, id: number, handler: StreamHandler) {
    this.handler = handler;
    this.id = id;
    this.#session = session;
    this.#sendWindow = 0;
    this.#receiveWindow = INITIAL_WINDOW_BYTES;
    this.#consumed = 0;
    this.#pendingFlags = 0;
    this.#unacknowledged = false;
    this.#state = OPEN;
    this.#writing = WRITABLE;
    this.#passed = 0;
    this.#passedIn = 0;
  }

  /** Whether it was reset, ended on both sides, or lost with its session. */
  get closed(): boolean {
    return this.#state >= ENDED;
  }

  /** Whether the peer has sent its FIN, and the stream wasn't reset. */
  get remoteEnded(): boolean {
    return this.#state === REMOTE_ENDED || this.#state === ENDED;
  }

  /**
   * Whether it was lost before the peer's application could see it: it never was on the wire, or the peer answered its SYN with RST. What
   * was sent on it can be sent again.
   */
  get refused(): boolean {
    return this.closed && (this.unsent || (this.#unacknowledged && !this.#session.ended));
  }

  /** Whether it was lost because its tunnel has ended. */
  get lostWithSession(): boolean {
    return this.#state === LOST && this.#session.ended;
  }

  /** Whether SYN was sent and the peer has not accepted so far. */
  get unacknowledged(): boolean {
    return this.#unacknowledged;
  }

  /** Whether nothing of it was on the wire so far, so that it can be given up unnoticed. */
  get unsent(): boolean {
    return this.id === 0 || (this.#unacknowledged && this.#pendingFlags !== 0);
  }

  /**
   * Sends as much of `[start, end)` as window and socket allow and returns how many bytes that was. If it is less than all, `onWritable`
   * follows; the caller keeps the rest (a copy, if its buffer is reused) and stops its own source.
   */
  write(buffer: Buffer, start: number, end: number): number {
    if (this.#state >= LOCAL_ENDED) return end - start;
    const session = this.#session;
    let at = start;
    while (at < end) {
      if (this.#sendWindow === 0 || (session.turns.congested && !this.#mayPass(end - start))) {
        this.#wait();
        break;
      }
      const count = Math.min(end - at, this.#sendWindow, MAX_DATA_BYTES);
      this.#sendWindow -= count;
      session.frames.sendData(this.id, this.#takeFlags(), buffer, at, at + count);
      at += count;
    }
    return at - start;
  }

  /**
   * `write` of two pieces: `head` up to `headEnd`, and `[start, end)` of `buffer` after it. If possible they leave as one frame, so that
   * the peer reads them at once. Returns how many bytes of both together were accepted.
   */
  writeBoth(head: Buffer, headEnd: number, buffer: Buffer, start: number, end: number): number {
    const count = headEnd + end - start;
    if (!this.#takesFrame(count)) {
      const taken = this.write(head, 0, headEnd);
      return taken < headEnd ? taken : taken + this.write(buffer, start, end);
    }
    this.#sendWindow -= count;
    this.#session.frames.sendBoth(this.id, this.#takeFlags(), head, headEnd, buffer, start, end);
    return count;
  }

  /**
   * For bytes that are produced in place: makes room for up to `count` bytes in `slab` and returns their offset; -1 if they have to be
   * passed to `write` instead. Write them there, and call `commit` before any other method of the session.
   */
  reserve(count: number): number {
    return this.#takesFrame(count) ? this.#session.frames.reserve(count) : -1;
  }

  /** Valid between `reserve` and `commit`. */
  get slab(): Buffer {
    return this.#session.frames.slab;
  }

  /** Sends what was written to `slab`, from the offset that `reserve` returned. */
  commit(start: number, end: number): void {
    this.#sendWindow -= end - start;
    this.#session.frames.commit(this.id, this.#takeFlags(), start, end);
  }

  /** Grants the peer `count` more bytes of window, for bytes of `onData` that were processed. */
  consume(count: number): void {
    this.#consumed += count;
    if (this.#consumed < UPDATE_FROM_BYTES || this.#state === REMOTE_ENDED || this.closed || this.#closing)
      return;
    const delta = this.#consumed;
    this.#consumed = 0;
    this.#receiveWindow += delta;
    this.#session.frames.sendWindowUpdate(this.id, this.#takeFlags(), delta);
  }

  /**
   * Ends our direction (FIN); a queued stream does so when it is opened. `later`: the peer doesn't wait for the FIN, so it may leave with
   * the next bytes. Idempotent.
   */
  end(later = false): void {
    if (this.#state >= LOCAL_ENDED) return;
    if (this.id === 0) this.#state = LOCAL_ENDED;
    else this.#sendEnd(later);
  }

  /** Ends both directions at once (RST); bytes in transit are lost. Idempotent. */
  reset(): void {
    if (this.closed) return;
    if (this.#closing) {
      // Its FIN was sent.
      this.handler = CLOSING;
      return;
    }
    if (this.id !== 0) {
      this.flushFlags();
      this.#session.frames.sendWindowUpdate(this.id, FLAG_RST, 0);
    }
    this.#close(LOST);
  }

  /** Sends the SYN or ACK that is held back for data; does nothing while the stream is queued. `later`: the peer doesn't wait for it. */
  flushFlags(later = false): void {
    if (this.#pendingFlags === 0 || this.closed) return;
    this.#session.frames.sendWindowUpdate(this.id, this.#takeFlags(), 0, later);
  }

  /** For the session: opens with `flags` (SYN or ACK), which are sent with the first frame. */
  activate(id: number, flags: number, unacknowledged: boolean): void {
    this.id = id;
    this.#sendWindow = INITIAL_WINDOW_BYTES;
    this.#pendingFlags = flags;
    this.#unacknowledged = unacknowledged;
  }

  /** For the session: reserves receive window for a data frame; false if the peer exceeds it. */
  receiveFrame(length: number): boolean {
    if (length > this.#receiveWindow) return false;
    this.#receiveWindow -= length;
    return true;
  }

  /** For the session: the peer has accepted; returns true the first time. */
  acknowledge(): boolean {
    const first = this.#unacknowledged;
    this.#unacknowledged = false;
    return first;
  }

  /** For the session: the peer grants window. */
  grow(delta: number): void {
    this.#sendWindow = Math.min(this.#sendWindow + delta, MAX_SEND_WINDOW_BYTES);
    if (this.#writing === AWAITING_WINDOW) this.resume();
  }

  /** For the session: window or socket may have room again. */
  resume(): void {
    if (this.#writing === WRITABLE || this.#state >= LOCAL_ENDED) return;
    this.#writing = WRITABLE;
    if (this.#sendWindow === 0 || this.#session.turns.congested) this.#wait();
    else this.#onWritable();
  }

  /** For the session: the stream's turn has come. */
  leaveQueue(): void {
    this.flushFlags();
    if (this.#state === LOCAL_ENDED) this.#sendEnd(false);
    else this.resume();
  }

  /** For the session: FIN arrived; false if it is the second one. */
  receiveEnd(): boolean {
    // A callback for the same frame may have reset the stream.
    if (this.closed) return true;
    if (this.#state === REMOTE_ENDED) return false;
    if (this.#state === LOCAL_ENDED) this.#close(ENDED);
    else this.#state = REMOTE_ENDED;
    try {
      this.handler.onEnd();
    } catch (error) {
      this.#onFault(error);
    }
    return true;
  }

  /** For the session: the stream is lost. */
  lose(): void {
    if (this.closed) return;
    this.#state = LOST;
    this.#onReset();
  }

  /** For the session: bytes of a data frame. */
  receive(buffer: Buffer, start: number, end: number): void {
    try {
      this.handler.onData(buffer, start, end);
    } catch (error) {
      this.#onFault(error);
    }
  }

  #onWritable(): void {
    try {
      this.handler.onWritable();
    } catch (error) {
      this.#onFault(error);
    }
  }

  #onReset(): void {
    try {
      this.handler.onReset();
    } catch (error) {
      faults.report(error);
    }
  }

  #onFault(error: unknown): void {
    faults.report(error);
    this.reset();
    this.#onReset();
  }

  /** Whether this many bytes can leave now, in one frame. */
  #takesFrame(count: number): boolean {
    if (count > this.#sendWindow || count > MAX_DATA_BYTES || this.#state >= LOCAL_ENDED) return false;
    return !this.#session.turns.congested || this.#mayPass(count);
  }

  /** Whether our FIN was sent to a peer that closes the stream because of it. */
  get #closing(): boolean {
    return this.#state === LOCAL_ENDED && this.id !== 0 && !this.#session.peerHalfCloses;
  }

  #sendEnd(later: boolean): void {
    // A frame of its own: a Go peer handles flags before payload, so FIN on data could overtake its own bytes; and old versions
    // misread ACK with FIN in one frame.
    this.flushFlags(later);
    this.#session.frames.sendWindowUpdate(this.id, FLAG_FIN, 0, later);
    if (this.#state === REMOTE_ENDED) this.#close(ENDED);
    else this.#state = LOCAL_ENDED;
  }

  /**
   * Whether a write goes ahead of the streams that wait for a congested socket: a small one does, so that requests and small answers don't
   * queue after every bulk stream. If so, it is counted.
   */
  #mayPass(count: number): boolean {
    if (count > MAX_PASSING_BYTES) return false;
    const congestion = this.#session.turns.congestions;
    if (this.#passedIn !== congestion) {
      this.#passedIn = congestion;
      this.#passed = 0;
    }
    if (this.#passed + count > MAX_PASSING_BYTES || !this.#session.turns.passable) return false;
    this.#passed += count;
    return true;
  }

  /** Waits until there is window again, or the socket has drained. */
  #wait(): void {
    if (this.#writing === AWAITING_DRAIN) return;
    if (this.#sendWindow === 0) {
      this.#writing = AWAITING_WINDOW;
      return;
    }
    this.#writing = AWAITING_DRAIN;
    this.#session.turns.wait(this);
  }

  #takeFlags(): number {
    const flags = this.#pendingFlags;
    this.#pendingFlags = 0;
    return flags;
  }

  #close(state: number): void {
    this.#state = state;
    this.#session.forget(this);
  }
}

/** Handler of a stream that is nearly closed. */
const CLOSING: StreamHandler = { onData() {}, onEnd() {}, onWritable() {}, onReset() {} };
/**
 * Bytes that a stream may send ahead on a congested socket until it has drained: a request or an answer with its fields, and less than the
 * 64 KiB that a bulk stream sends in its turn.
 */
const MAX_PASSING_BYTES = 16 * 1024;
/** The window is a uint32 on the wire; Go peers don't check that it remains one. */
const MAX_SEND_WINDOW_BYTES = 0xffff_ffff;
