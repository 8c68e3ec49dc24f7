// Long work in pieces: a message of many megabytes is read, applied or written a few milliseconds at a time, and everything
// else in the process continues in between. Several tasks alternate, so that a short one doesn't wait for long ones.

import type { Clock, Timer } from "@piko/tunnel";

/** Time per turn of the event loop for all tasks together. A piece should take less. */
const SLICE_MS = 5;

/** Does one piece; returns false when no work is left, or none for now. Must not throw. */
export type Work = () => boolean;

/** The long work of one gossip port. */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #works = new Set<Work>();
  #timer: Timer | undefined;
  #running = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Starts at once, so that short work is done on return. */
  add(work: Work): void {
    this.#works.add(work);
    if (this.#timer === undefined && !this.#running) this.#run();
  }

  /** Runs steps to their end; calls back once with their result, or with what they threw. */
  run<Result>(steps: Iterator<unknown, Result>, done: (error: unknown, result?: Result) => void): void {
    this.add(() => {
      let step: IteratorResult<unknown, Result>;
      try {
        step = steps.next();
      } catch (error) {
        done(error ?? new Error("no reason"));
        return false;
      }
      if (step.done !== true) return true;
      done(undefined, step.value);
      return false;
    });
  }

  close(): void {
    this.#works.clear();
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #run(): void {
    this.#running = true;
    const until = this.#clock.now() + SLICE_MS;
    for (const work of this.#works) {
      // Removed and added again, which puts it last in the set: the others get their turn first.
      this.#works.delete(work);
      if (work()) this.#works.add(work);
      if (this.#clock.now() >= until) break;
    }
    this.#running = false;
    if (this.#works.size === 0) return;
    this.#timer = this.#clock.setTimeout(() => {
      this.#timer = undefined;
      this.#run();
    }, 0);
  }
}
