// A clock for simulations with very many timers: like FakeClock, but with a heap instead of a search.

import type { Clock, Timer } from "@piko/tunnel";

class SimulatedTimer implements Timer {
  readonly #clock: SimulatedClock;
  callback: (() => void) | undefined;
  readonly #kept: () => void;
  readonly ms: number;
  dueAt: number;
  order: number;

  constructor(clock: SimulatedClock, callback: () => void, ms: number, dueAt: number, order: number) {
    this.#clock = clock;
    this.callback = callback;
    this.#kept = callback;
    this.ms = ms;
    this.dueAt = dueAt;
    this.order = order;
  }

  refresh(): unknown {
    this.callback = undefined;
    return this.#clock.setTimeout(this.#kept, this.ms);
  }
}

/** A clock that advances only in `run`. */
export class SimulatedClock implements Clock {
  #now = 0;
  #order = 0;
  readonly #heap: SimulatedTimer[] = [];

  now(): number {
    return this.#now;
  }

  setTimeout(callback: () => void, ms: number): Timer {
    const timer = new SimulatedTimer(this, callback, ms, this.#now + Math.max(0, ms), this.#order++);
    this.#push(timer);
    return timer;
  }

  clearTimeout(timer: Timer): void {
    // The timer stays in the heap until it is due, and then does nothing.
    (timer as SimulatedTimer).callback = undefined;
  }

  /** Runs what is due within `ms`, or until `stop` returns true after a call; returns whether it was stopped. */
  run(ms: number, stop?: () => boolean): boolean {
    const until = this.#now + ms;
    for (let first = this.#heap[0]; first !== undefined && first.dueAt <= until; first = this.#heap[0]) {
      this.#pop();
      const { callback } = first;
      if (callback === undefined) continue;
      this.#now = first.dueAt;
      first.callback = undefined;
      callback();
      if (stop?.() === true) return true;
    }
    this.#now = until;
    return false;
  }

  #push(timer: SimulatedTimer): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(timer);
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up] as SimulatedTimer;
      if (!before(timer, parent)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const left = heap[child];
      if (left === undefined) break;
      const right = heap[child + 1];
      if (right !== undefined && before(right, left)) child += 1;
      const next = heap[child] as SimulatedTimer;
      if (!before(next, last)) break;
      heap[at] = next;
      at = child;
    }
    heap[at] = last;
  }
}

function before(a: SimulatedTimer, b: SimulatedTimer): boolean {
  return a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.order < b.order);
}
