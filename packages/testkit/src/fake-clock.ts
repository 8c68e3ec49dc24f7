// A clock that stands still until a test advances it. Timers run in the order of their due times and, if these are equal, in
// the order in which they were set, as Node's do.

import type { Clock, Timer } from "@piko/tunnel";

class FakeTimer implements Timer {
  readonly callback: () => void;
  readonly ms: number;
  dueAt: number;
  order: number;
  pending = true;
  readonly #clock: FakeClock;

  constructor(clock: FakeClock, callback: () => void, ms: number) {
    this.#clock = clock;
    this.callback = callback;
    this.ms = Math.max(0, ms);
    this.dueAt = clock.now() + this.ms;
    this.order = clock.nextOrder();
  }

  refresh(): this {
    this.dueAt = this.#clock.now() + this.ms;
    this.order = this.#clock.nextOrder();
    // As with Node's timers, a refresh restarts a timer that has fired, but not one that was cleared.
    if (!this.pending) this.#clock.rearm(this);
    return this;
  }
}

/** A {@link Clock} controlled by a test. */
export class FakeClock implements Clock {
  #now: number;
  #order = 0;
  readonly #timers = new Set<FakeTimer>();
  readonly #cleared = new WeakSet<Timer>();

  constructor(startMs = 0) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  setTimeout(callback: () => void, ms: number): Timer {
    const timer = new FakeTimer(this, callback, ms);
    this.#timers.add(timer);
    return timer;
  }

  clearTimeout(timer: Timer): void {
    this.#cleared.add(timer);
    this.#timers.delete(timer as FakeTimer);
  }

  /** Number of pending timers. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Milliseconds until the next timer is due, or undefined if none is pending. */
  get nextIn(): number | undefined {
    const next = this.#first();
    return next === undefined ? undefined : Math.max(0, next.dueAt - this.#now);
  }

  /** Advances time by `ms` and runs all timers that come due, including those set on the way. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (let next = this.#first(); next !== undefined && next.dueAt <= until; next = this.#first()) {
      this.#now = Math.max(this.#now, next.dueAt);
      this.#timers.delete(next);
      next.pending = false;
      next.callback();
    }
    this.#now = until;
  }

  /** Advances time by `ms` without running anything, as if the process stood still. The next `advance` runs the late timers. */
  pause(ms: number): void {
    this.#now += ms;
  }

  /** Fails the test if a timer is still pending, which means that someone forgot to clear it. */
  assertIdle(): void {
    if (this.#timers.size === 0) return;
    const waits = [...this.#timers].map((timer) => `${timer.dueAt - this.#now} ms`);
    throw new Error(`timers still pending, due in: ${waits.join(", ")}`);
  }

  /** @internal */
  nextOrder(): number {
    return this.#order++;
  }

  /** @internal */
  rearm(timer: FakeTimer): void {
    if (this.#cleared.has(timer)) return;
    timer.pending = true;
    this.#timers.add(timer);
  }

  #first(): FakeTimer | undefined {
    let first: FakeTimer | undefined;
    for (const timer of this.#timers) {
      if (first === undefined || timer.dueAt < first.dueAt) first = timer;
      else if (timer.dueAt === first.dueAt && timer.order < first.order) first = timer;
    }
    return first;
  }
}
