// Detects a peer that has stopped, gets no CPU or is cut off: its connection stays open, and pings notice it much later
// than the streams that it doesn't accept. One stream or ping is timed at a time, by a check a few times a second, so
// that a request costs two comparisons. The consequences are up to the owner; doubt ends nothing.

import type { YamuxStream } from "./stream.js";

/** What waits this long for its answer makes the peer doubtful: one that runs answers within tens of milliseconds. */
export const DOUBT_AFTER_MS = 1_000;
/** How long doubt continues after an answer that was late; twice as long each time that one is. */
const FIRST_HOLD_MS = 500;
const MAX_HOLD_MS = 10_000;
/** Without a late answer for this long, the next one is the first again. */
const FORGIVEN_MS = 60_000;
/** A check that is later than this after the previous one: the process was paused, and has bytes to read first. */
const LATE_LOOK_MS = 500;
/** How often one looks. Of the time before a late look this much counts; what is timed may have waited as long before the first. */
const LOOK_MS = 250;

/** What the peer has left unanswered. */
export type DoubtReason = "stream" | "ping";

export class Doubt {
  /** The peer is doubtful: others should be used first. */
  doubtful = false;
  /** Since when, on the scale of `look`; 0 if it isn't. */
  sinceMs = 0;
  /** Why; of the last time, if it isn't doubtful. */
  reason: DoubtReason = "stream";
  readonly #ping: () => void;
  /** What is timed: a stream that the peer hasn't accepted, or its successor if it was given up. */
  #stream: YamuxStream | undefined = undefined;
  #streamMs = NOT_LOOKED_AT;
  /** The stream was given up: its time continues with a ping. */
  #inherited = false;
  #pinging = false;
  #pingMs = NOT_LOOKED_AT;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #wasLate = false;
  /** Something has waited for too long, and waits on. */
  #overdue = false;
  #holdMs = 0;
  #holdEndMs = 0;
  #lastOverdueMs = Number.NEGATIVE_INFINITY;

  /** `ping` is to send a ping, and to call `onPing`. */
  constructor(ping: () => void) {
    this.#ping = ping;
  }

  /** A stream waits to be accepted. */
  onOpened(stream: YamuxStream): void {
    this.#stream ??= stream;
  }

  /** The peer has answered to a stream of ours, well or not. */
  onAnswered(stream: YamuxStream): void {
    if (stream !== this.#stream) return;
    this.#forgetStream();
    // It was opened after the one that was given up.
    if (this.#inherited) this.onPong();
  }

  /** A stream that wasn't answered was given up here: that says nothing of the peer. */
  onGivenUp(stream: YamuxStream): void {
    if (stream !== this.#stream) return;
    if (this.#streamMs !== NOT_LOOKED_AT) {
      this.#inherited = !this.#pinging;
      // A ping that is still to be sent gets the time to be answered.
      const most = this.#pinging ? this.#streamMs : DOUBT_AFTER_MS - LOOK_MS;
      this.#pingMs = Math.max(this.#pingMs, Math.min(this.#streamMs, most));
    }
    this.#forgetStream();
  }

  /** A ping of any origin is on its way. */
  onPing(): void {
    this.#pinging = true;
    this.#inherited = false;
  }

  /** A ping was answered. */
  onPong(): void {
    this.#pinging = false;
    this.#inherited = false;
    this.#pingMs = NOT_LOOKED_AT;
  }

  /**
   * Looks at what waits; to be called a few times a second with the clock's time. True if `doubtful` has changed. Time in
   * which this process stood still hardly counts.
   */
  look(nowMs: number): boolean {
    const sinceMs = nowMs - this.#lookedAtMs;
    this.#lookedAtMs = nowMs;
    const late = sinceMs > LATE_LOOK_MS;
    const wasLate = this.#wasLate;
    this.#wasLate = late;
    if (this.#stream === undefined && !this.#pinging && !this.#inherited && !this.doubtful) return false;
    const countedMs = late ? LOOK_MS : sinceMs;
    // Both begin to be timed at the first look.
    if (this.#stream !== undefined) {
      this.#streamMs = this.#streamMs === NOT_LOOKED_AT ? 0 : this.#streamMs + countedMs;
    }
    if (this.#pinging) this.#pingMs = this.#pingMs === NOT_LOOKED_AT ? 0 : this.#pingMs + countedMs;
    if (this.#inherited && !this.#pinging) this.#ping();
    // What has come meanwhile is read before the next look; a process that is always late has to judge all the same.
    if (late && !wasLate) return false;
    return this.#judge(nowMs);
  }

  #judge(nowMs: number): boolean {
    const waitedMs = Math.max(this.#streamMs, this.#pingMs);
    if (waitedMs >= DOUBT_AFTER_MS) {
      if (!this.#overdue) this.#onOverdue(nowMs);
      this.#lastOverdueMs = nowMs;
      if (this.doubtful) return this.#ask(false);
      this.doubtful = true;
      this.sinceMs = nowMs - (waitedMs - DOUBT_AFTER_MS) - LOOK_MS;
      this.reason = this.#streamMs >= DOUBT_AFTER_MS ? "stream" : "ping";
      return this.#ask(true);
    }
    if (this.#overdue) {
      this.#overdue = false;
      this.#holdEndMs = nowMs + this.#holdMs;
    }
    if (!this.doubtful) return false;
    // Nobody may have sent a stream since: it is the pings that say that the peer runs.
    if (nowMs < this.#holdEndMs || this.#pinging) return this.#ask(false);
    this.doubtful = false;
    this.sinceMs = 0;
    return true;
  }

  #onOverdue(nowMs: number): void {
    this.#overdue = true;
    const forgiven = nowMs - this.#lastOverdueMs > FORGIVEN_MS;
    this.#holdMs = forgiven ? FIRST_HOLD_MS : Math.min(MAX_HOLD_MS, this.#holdMs * 2);
  }

  /** Asks the peer whether it runs, if it isn't asked already. */
  #ask(changed: boolean): boolean {
    if (!this.#pinging) this.#ping();
    return changed;
  }

  #forgetStream(): void {
    this.#stream = undefined;
    this.#streamMs = NOT_LOOKED_AT;
  }
}

const NOT_LOOKED_AT = -1;
