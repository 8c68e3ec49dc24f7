// A clock that stops while the process does: stopped by SIGSTOP, asleep with its laptop, moved with its virtual machine,
// or busy for seconds. Otherwise all timeouts that passed meanwhile would fire on waking, before any received byte is
// read, and cut live connections. So it counts the time in which peers could be heard.

import type { Clock, Timer } from "./clock.js";

/** How often the time is looked at while a timer waits. Of a time that the process stood still, this much counts. */
const BEAT_MS = 500;
/** When it is looked at no sooner than after this, the process stood still. */
const PAUSE_MS = 1_000;
/** What was due in a pause fires after this: once what has come meanwhile is read. */
const AFTER_READS_MS = 1;

export class AwakeClock implements Clock {
  /** Told how long the process stood still, each time that it has. */
  onPause: ((pausedMs: number) => void) | undefined = undefined;
  /** How often that was, and how long in all. */
  pauses = 0;
  stoodStillMs = 0;
  readonly #base: Clock;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #pausedMs = 0;
  /** Timers that wait. Without one there are no checks, so a long time means nothing. */
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

  /** How much of the base's time doesn't count so far. */
  get pausedMs(): number {
    return this.#pausedMs;
  }

  /** For timers: one begins to wait. */
  onArmed(): void {
    if (this.#waiting++ > 0 || this.#beat !== undefined) return;
    const beat = this.#base.setTimeout(() => {
      this.now();
      if (this.#waiting > 0) beat.refresh();
      else this.#beat = undefined;
    }, BEAT_MS);
    // The timers keep the process alive, not this one.
    (beat as Partial<NodeJS.Timeout>).unref?.();
    this.#beat = beat;
  }

  /** For timers: one waits no more. */
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
  /** The handle waits for a part of the time only. */
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

  /** As of Node's timers: this one doesn't keep the process alive. */
  unref(): this {
    this.#unref = true;
    (this.#handle as Partial<NodeJS.Timeout>).unref?.();
    return this;
  }

  refresh(): this {
    if (this.#cleared) return this;
    this.#dueMs = this.#clock.now() + this.#ms;
    this.#pausedMs = this.#clock.pausedMs;
    if (this.#shortened) this.#handAgain(this.#ms);
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
      this.#handAgain(Math.max(leftMs, AFTER_READS_MS));
      return;
    }
    this.#disarm();
    this.#callback();
  }

  #handAgain(ms: number): void {
    this.#base.clearTimeout(this.#handle);
    this.#handle = this.#base.setTimeout(this.#fire, ms);
    if (this.#unref) this.unref();
  }

  #disarm(): void {
    if (this.#waiting) this.#clock.onDisarmed();
    this.#waiting = false;
  }
}
