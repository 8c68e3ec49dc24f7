// Detects a peer that has stopped, gets no CPU or is cut off. Its connection stays open, and pings detect it much later than
// the streams that it doesn't accept. One stream or ping is timed at a time, by a check a few times a second, so that a request
// costs two comparisons. The owner decides about the consequences; doubt ends nothing.

import type { YamuxStream } from "./stream.js";

/** A stream or ping that is unanswered for this long makes the peer doubtful: a running peer answers within tens of milliseconds. */
export const DOUBT_AFTER_MS = 1_000;
/** How long doubt continues after a late answer; doubled for each further one. */
const FIRST_HOLD_MS = 500;
const MAX_HOLD_MS = 10_000;
/** After this long without a late answer, the next one counts as the first again. */
const FORGIVEN_MS = 60_000;
/** If a check is later than this after the previous one, the process was paused, and has bytes to read first. */
const LATE_LOOK_MS = 500;
/**
 * Interval between checks. Before a late check, only this much time counts. What is timed may have been pending for as long
 * before its first check.
 */
const LOOK_MS = 250;

/** What the peer has left unanswered. */
export type DoubtReason = "stream" | "ping";

export class Doubt {
  /** Whether the peer is doubtful: others should be used first. */
  doubtful = false;
  /** Since when it is doubtful, on the clock of `look`; 0 if it isn't. */
  sinceMs = 0;
  /** The reason; that of the last time, if it isn't doubtful. */
  reason: DoubtReason = "stream";
  readonly #ping: () => void;
  /** The stream that is timed, which the peer hasn't accepted; if that is given up, its successor. */
  #stream: YamuxStream | undefined = undefined;
  #streamMs = NOT_LOOKED_AT;
  /** Whether the stream was given up: its time continues with a ping. */
  #inherited = false;
  #pinging = false;
  #pingMs = NOT_LOOKED_AT;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #wasLate = false;
  /** Whether something has been pending for too long, and still is. */
  #overdue = false;
  #holdMs = 0;
  #holdEndMs = 0;
  #lastOverdueMs = Number.NEGATIVE_INFINITY;

  /** `ping` has to send a ping, and to call `onPing`. */
  constructor(ping: () => void) {
    this.#ping = ping;
  }

  /** A stream was opened that the peer hasn't accepted yet. */
  onOpened(stream: YamuxStream): void {
    this.#stream ??= stream;
  }

  /** The peer has answered one of our streams, whether it accepted or refused it. */
  onAnswered(stream: YamuxStream): void {
    if (stream !== this.#stream) return;
    this.#forgetStream();
    // It was opened after the one that was given up.
    if (this.#inherited) this.onPong();
  }

  /** A stream without an answer was given up here, which says nothing about the peer. */
  onGivenUp(stream: YamuxStream): void {
    if (stream !== this.#stream) return;
    if (this.#streamMs !== NOT_LOOKED_AT) {
      this.#inherited = !this.#pinging;
      // A ping that is still to be sent gets time to be answered.
      const maxMs = this.#pinging ? this.#streamMs : DOUBT_AFTER_MS - LOOK_MS;
      this.#pingMs = Math.max(this.#pingMs, Math.min(this.#streamMs, maxMs));
    }
    this.#forgetStream();
  }

  /** A ping was sent, whatever its origin. */
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
   * Checks what is pending; to be called a few times a second with the clock's time. Returns whether `doubtful` has changed. Of
   * time in which this process was stopped, only a fraction counts.
   */
  look(nowMs: number): boolean {
    const sinceMs = nowMs - this.#lookedAtMs;
    this.#lookedAtMs = nowMs;
    const late = sinceMs > LATE_LOOK_MS;
    const wasLate = this.#wasLate;
    this.#wasLate = late;
    if (this.#stream === undefined && !this.#pinging && !this.#inherited && !this.doubtful) return false;
    const countedMs = late ? LOOK_MS : sinceMs;
    // Timing of both starts at their first check.
    if (this.#stream !== undefined) {
      this.#streamMs = this.#streamMs === NOT_LOOKED_AT ? 0 : this.#streamMs + countedMs;
    }
    if (this.#pinging) this.#pingMs = this.#pingMs === NOT_LOOKED_AT ? 0 : this.#pingMs + countedMs;
    if (this.#inherited && !this.#pinging) this.#ping();
    // What arrived meanwhile is read before the next check; but a process that is always late has to judge, too.
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
    // There may have been no stream since, so the pings have to show that the peer runs.
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

  /** Pings the peer, unless a ping is pending. */
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
