// A clock that stops while the process does: stopped by SIGSTOP, asleep with its laptop, moved with its virtual machine, or
// busy for seconds. Otherwise all timeouts that passed meanwhile would fire on waking, before any received byte is read, and
// cut live connections. So this clock counts only the time in which peers could be heard.

import type { Clock, Timer } from "./clock.js";

/** Interval between checks of the time while a timer is pending. Of a pause, this much counts. */
const BEAT_MS = 500;
/** A longer time between two checks means that the process was stopped. */
const PAUSE_MS = 1_000;
/** Delay of a timer that was due during a pause, so that bytes that arrived meanwhile are read first. */
const AFTER_READS_MS = 1;

export class AwakeClock implements Clock {
  /** Called after each pause with its length. */
  onPause: ((pausedMs: number) => void) | undefined = undefined;
  /** Number of pauses, and their total length. */
  pauses = 0;
  stoodStillMs = 0;
  readonly #base: Clock;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #pausedMs = 0;
  /** Number of pending timers. Without one there are no checks, so a long time between two means nothing. */
  #waiting = 0;
  #beat: Timer | undefined;

  constructor(base: Clock) {
    this.#base = base;
  }

  now(): number {
    const now = this.#base.now();
    const since = now - this.#lookedAtMs;
    this.#lookedAtMs = now;
    if (since > PAUSE_MS && this.#waiting > 0) {
      this.#pausedMs += since - BEAT_MS;
      this.pauses++;
      this.stoodStillMs += since;
      this.onPause?.(since);
    }
    return now - this.#pausedMs;
  }

  setTimeout(callback: () => void, ms: number): AwakeTimer {
    return new AwakeTimer(this, this.#base, callback, ms);
  }

  clearTimeout(timer: Timer): void {
    (timer as AwakeTimer).clear();
  }

  /** How much of the base clock's time has been excluded so far. */
  get pausedMs(): number {
    return this.#pausedMs;
  }

  /** For timers: one was started. */
  onArmed(): void {
    if (this.#waiting++ > 0 || this.#beat !== undefined) return;
    const beat = this.#base.setTimeout(() => {
      this.now();
      if (this.#waiting > 0) beat.refresh();
      else this.#beat = undefined;
    }, BEAT_MS);
    // The timers keep the process alive; this one must not.
    (beat as Partial<NodeJS.Timeout>).unref?.();
    this.#beat = beat;
  }

  /** For timers: one has fired or was cleared. */
  onDisarmed(): void {
    this.#waiting -= 1;
  }
}

export class AwakeTimer implements Timer {
  readonly #clock: AwakeClock;
  readonly #base: Clock;
  readonly #callback: () => void;
  readonly #ms: number;
  readonly #fire: () => void;
  #dueMs: number;
  #pausedMs: number;
  #handle: Timer;
  /** Whether the handle's delay is only the rest of the timer's. */
  #shortened = false;
  #waiting = true;
  #cleared = false;
  #unref = false;

  constructor(clock: AwakeClock, base: Clock, callback: () => void, ms: number) {
    this.#clock = clock;
    this.#base = base;
    this.#callback = callback;
    this.#ms = ms;
    this.#dueMs = clock.now() + ms;
    this.#pausedMs = clock.pausedMs;
    this.#fire = () => this.#onDue();
    this.#handle = base.setTimeout(this.#fire, ms);
    clock.onArmed();
  }

  /** As for Node's timers: this one doesn't keep the process alive. */
  unref(): this {
    this.#unref = true;
    (this.#handle as Partial<NodeJS.Timeout>).unref?.();
    return this;
  }

  refresh(): this {
    if (this.#cleared) return this;
    this.#dueMs = this.#clock.now() + this.#ms;
    this.#pausedMs = this.#clock.pausedMs;
    if (this.#shortened) this.#reschedule(this.#ms);
    else this.#handle.refresh();
    this.#shortened = false;
    if (!this.#waiting) this.#clock.onArmed();
    this.#waiting = true;
    return this;
  }

  clear(): void {
    this.#cleared = true;
    this.#base.clearTimeout(this.#handle);
    this.#disarm();
  }

  #onDue(): void {
    const leftMs = this.#dueMs - this.#clock.now();
    if (this.#pausedMs !== this.#clock.pausedMs) {
      this.#pausedMs = this.#clock.pausedMs;
      this.#shortened = true;
      this.#reschedule(Math.max(leftMs, AFTER_READS_MS));
      return;
    }
    this.#disarm();
    this.#callback();
  }

  #reschedule(ms: number): void {
    this.#base.clearTimeout(this.#handle);
    this.#handle = this.#base.setTimeout(this.#fire, ms);
    if (this.#unref) this.unref();
  }

  #disarm(): void {
    if (this.#waiting) this.#clock.onDisarmed();
    this.#waiting = false;
  }
}
