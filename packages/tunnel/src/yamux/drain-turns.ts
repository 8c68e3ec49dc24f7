// The order of sending when a socket is congested: stopped streams continue in the order in which they were stopped, each with
// its share, so that no stream blocks the others. Small writes go ahead of them, see `YamuxStream`.

import type { Outbox } from "../socket/outbox.js";

/** Bytes that a stream sends in its turn while others wait for the socket, too. */
const SHARE_BYTES = 64 * 1024;
/** Maximum bytes queued on a congested socket for small writes that go ahead of the stopped streams. */
const MAX_PASSING_BACKLOG_BYTES = 512 * 1024;

/** A stream that the socket has stopped. */
export interface Waiting {
  /** Called when its turn has come. */
  resume(): void;
}

export class DrainTurns {
  /** Incremented whenever the socket has drained. */
  congestions: number;
  readonly #out: Outbox;
  #waiting: Waiting[];
  /** Whether `drained` is running, and how much of its share the current stream may still send. */
  #draining: boolean;
  #shareBytes: number;

  constructor(out: Outbox) {
    this.congestions = 0;
    this.#out = out;
    this.#waiting = [];
    this.#draining = false;
    this.#shareBytes = 0;
  }

  /** Whether streams should hold back what they can: the socket is congested, or it is another stream's turn. */
  get congested(): boolean {
    return this.#out.congested || (this.#draining && this.#shareBytes <= 0);
  }

  /** Whether small writes may still go ahead of the stopped streams. */
  get passable(): boolean {
    return this.#out.pendingBytes <= MAX_PASSING_BACKLOG_BYTES;
  }

  /** Makes `stream` continue when the socket has drained. */
  wait(stream: Waiting): void {
    this.#waiting.push(stream);
  }

  /** Records that a stream has sent `bytes`. */
  sent(bytes: number): void {
    if (this.#draining) this.#shareBytes -= bytes;
  }

  /** The socket has drained: streams continue until it is congested again. */
  drained(): void {
    this.congestions++;
    const waiting = this.#waiting;
    let served = 0;
    this.#draining = true;
    // Streams that have more than their share are appended meanwhile; their windows are finite.
    while (served < waiting.length && !this.#out.congested) {
      this.#shareBytes = SHARE_BYTES;
      (waiting[served++] as Waiting).resume();
    }
    this.#draining = false;
    waiting.splice(0, served);
  }

  /** Forgets the stopped streams; may be called while `drained` runs. */
  clear(): void {
    this.#waiting.length = 0;
  }
}
