// Our streams that the peer has not accepted: how many are on the wire and since when, and those that are queued after them. A
// Go peer answers the 257th with RST, and ends a session in which a stream waits for too long.

import type { Clock } from "../clock.js";
import { ACCEPT_BACKLOG } from "./frame.js";
import type { YamuxStream } from "./stream.js";

/** A peer that leaves a stream unaccepted for this long is stuck (the same limit as in Go, which also ends the session). */
export const OPEN_TIMEOUT_MS = 75_000;
/** Maximum streams queued until the peer accepts earlier ones, beyond the 256 that are on the wire. */
export const MAX_QUEUED_STREAMS = 1_024;

export class OpeningQueue {
  readonly #clock: Clock;
  #queued: YamuxStream[];
  /** Streams that are on the wire and not accepted: how many, since when, and whether the peer accepted others since the last check. */
  #unaccepted: number;
  #sinceMs: number;
  #acceptedOthers: boolean;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#queued = [];
    this.#unaccepted = 0;
    this.#sinceMs = 0;
    this.#acceptedOthers = false;
  }

  /** Number of queued streams. */
  get length(): number {
    return this.#queued.length;
  }

  /** Whether a new stream has to wait. */
  get closed(): boolean {
    return this.#unaccepted >= ACCEPT_BACKLOG;
  }

  push(stream: YamuxStream): void {
    this.#queued.push(stream);
  }

  remove(stream: YamuxStream): void {
    const at = this.#queued.indexOf(stream);
    if (at >= 0) this.#queued.splice(at, 1);
  }

  /** Removes and returns all queued streams. */
  takeAll(): YamuxStream[] {
    return this.#queued.splice(0);
  }

  /** A stream was sent. */
  opened(): void {
    if (this.#unaccepted++ > 0) return;
    this.#sinceMs = this.#clock.now();
    this.#acceptedOthers = false;
  }

  /** The peer has accepted a stream, or never will. */
  accepted(): void {
    this.#unaccepted--;
    this.#acceptedOthers = true;
  }

  /** Removes and returns the stream whose turn it is. */
  next(): YamuxStream | undefined {
    return this.#queued.shift();
  }

  /** The number of streams that the peer has left waiting for too long. Called regularly. */
  findStuck(): number {
    const nowMs = this.#clock.now();
    if (this.#acceptedOthers) {
      this.#acceptedOthers = false;
      this.#sinceMs = nowMs;
    }
    return nowMs - this.#sinceMs >= OPEN_TIMEOUT_MS ? this.#unaccepted : 0;
  }
}
