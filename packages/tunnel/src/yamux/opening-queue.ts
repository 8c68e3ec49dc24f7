// Streams of ours that the peer has not accepted: how many are on the wire and since when, and those that wait after
// them. A Go peer answers the 257th with RST, and ends a session in which a stream waits for too long.

import type { Clock } from "../clock.js";
import { ACCEPT_BACKLOG } from "./frame.js";
import type { YamuxStream } from "./stream.js";

/** A peer that leaves a stream unaccepted this long is stuck (the same bound as in Go, which ends the session too). */
export const OPEN_TIMEOUT_MS = 75_000;
/** Streams that wait for the peer to accept earlier ones, beyond the 256 that are on the wire. */
export const MAX_QUEUED_STREAMS = 1_024;

export class OpeningQueue {
  readonly #clock: Clock;
  #queued: YamuxStream[];
  /** On the wire and not accepted: how many, since when, and whether the peer has accepted others since the last look. */
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

  /** Streams that wait for their turn. */
  get length(): number {
    return this.#queued.length;
  }

  /** A new stream has to wait. */
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

  /** Gives up all that wait. */
  takeAll(): YamuxStream[] {
    return this.#queued.splice(0);
  }

  /** A stream went out. */
  opened(): void {
    if (this.#unaccepted++ > 0) return;
    this.#sinceMs = this.#clock.now();
    this.#acceptedOthers = false;
  }

  /** The peer has accepted one, or it will never be. */
  accepted(): void {
    this.#unaccepted--;
    this.#acceptedOthers = true;
  }

  /** Takes out the one whose turn it is. */
  next(): YamuxStream | undefined {
    return this.#queued.shift();
  }

  /** How many streams the peer has left waiting for too long. Called now and then. */
  findStuck(): number {
    const nowMs = this.#clock.now();
    if (this.#acceptedOthers) {
      this.#acceptedOthers = false;
      this.#sinceMs = nowMs;
    }
    return nowMs - this.#sinceMs >= OPEN_TIMEOUT_MS ? this.#unaccepted : 0;
  }
}
