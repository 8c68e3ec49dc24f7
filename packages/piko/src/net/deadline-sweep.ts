// Timeouts of connections without a timer for each: every connection has its deadline as a number, which costs nothing to change,
// and one timer checks all of them a few times a second. Pauses of the process are handled by the clock: `systemClock` doesn't
// count them, neither for deadlines nor for sweeps.

import { type Clock, faults, type Timer } from "@piko/tunnel";

/** Something with timeouts. */
export interface Expiring {
  /** Checks its own deadlines; `nowMs` is on the clock's scale. */
  sweep(nowMs: number): void;
  /** Called after `sweep` has thrown: the member ends, and is no longer checked. */
  onFault?(): void;
}

/** Timeouts fire at most this late. */
export const SWEEP_INTERVAL_MS = 250;

/** The end of a timeout that starts now; Infinity if there is none (0). */
export function deadlineAfter(nowMs: number, limitMs: number): number {
  return limitMs === 0 ? Number.POSITIVE_INFINITY : nowMs + limitMs;
}

export class DeadlineSweep {
  readonly #clock: Clock;
  readonly #members = new Set<Expiring>();
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(member: Expiring): void {
    this.#members.add(member);
    this.#timer ??= this.#clock.setTimeout(() => this.#sweep(), SWEEP_INTERVAL_MS);
  }

  remove(member: Expiring): void {
    this.#members.delete(member);
    if (this.#members.size === 0 && this.#timer !== undefined) {
      this.#clock.clearTimeout(this.#timer);
      this.#timer = undefined;
    }
  }

  #sweep(): void {
    this.#timer = this.#clock.setTimeout(() => this.#sweep(), SWEEP_INTERVAL_MS);
    const now = this.#clock.now();
    for (const member of this.#members) {
      try {
        member.sweep(now);
      } catch (error) {
        this.remove(member);
        faults.report(error);
        member.onFault?.();
      }
    }
  }
}
