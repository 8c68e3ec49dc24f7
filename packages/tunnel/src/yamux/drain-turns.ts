// The order of sending when a socket is congested: stopped streams continue in the order in which they were stopped, each
// with its share, so that no stream blocks the others. Small writes go ahead of them, see `YamuxStream`.

import type { Outbox } from "../socket/outbox.js";

/** What a stream sends in its turn while others wait for the socket too. */
const SHARE_BYTES = 64 * 1024;
/** What may wait for a congested socket ahead of the streams that it has stopped. */
const MAX_PASSING_BACKLOG_BYTES = 512 * 1024;

/** A stream that the socket has stopped. */
export interface Waiting {
  /** Its turn has come. */
  resume(): void;
}

export class DrainTurns {
  /** Changes when the socket has drained. */
  congestions: number;
  readonly #out: Outbox;
  #waiting: Waiting[];
  /** `drained` is at it, and what the stream whose turn it is may still send of its share. */
  #draining: boolean;
  #shareBytes: number;

  constructor(out: Outbox) {
    this.congestions = 0;
    this.#out = out;
    this.#waiting = [];
    this.#draining = false;
    this.#shareBytes = 0;
  }

  /** The socket is congested, or it is another stream's turn: streams should hold back what they can. */
  get congested(): boolean {
    return this.#out.congested || (this.#draining && this.#shareBytes <= 0);
  }

  /** Small writes may still go ahead of the streams that wait. */
  get passable(): boolean {
    return this.#out.pendingBytes <= MAX_PASSING_BACKLOG_BYTES;
  }

  /** `stream` continues when the socket has drained. */
  wait(stream: Waiting): void {
    this.#waiting.push(stream);
  }

  /** A stream has sent `bytes`. */
  sent(bytes: number): void {
    if (this.#draining) this.#shareBytes -= bytes;
  }

  /** The socket has drained: streams continue until it is congested again. */
  drained(): void {
    this.congestions++;
    const waiting = this.#waiting;
    let served = 0;
    this.#draining = true;
    // Grows at its end meanwhile, by the streams that have more than their share; windows are finite.
    while (served < waiting.length && !this.#out.congested) {
      this.#shareBytes = SHARE_BYTES;
      (waiting[served++] as Waiting).resume();
    }
    this.#draining = false;
    waiting.splice(0, served);
  }

  /** Forgets who waits; `drained` may be at it. */
  clear(): void {
    this.#waiting.length = 0;
  }
}
