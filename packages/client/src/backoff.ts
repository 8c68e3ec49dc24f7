// How long to wait between attempts: full jitter, so that the clients of a failed node don't reconnect simultaneously.

/** Upper bound of the first delay. */
const BACKOFF_BASE_MS = 100;
/** Upper bound of every delay. */
export const BACKOFF_CAP_MS = 15_000;
/** A connection that lasted this long was a success; one that was lost sooner counts as a failed attempt. */
export const STABLE_AFTER_MS = 5_000;

/** Counts failed attempts, and computes the delay before the next one. */
export class Backoff {
  readonly #random: () => number;
  #attempts = 0;

  /** `random` returns numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Number of delays since the last success. */
  get attempts(): number {
    return this.#attempts;
  }

  /** Milliseconds to wait now: uniform in [0, min(cap, base * 2^attempts)). */
  next(): number {
    const bound = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** Math.min(this.#attempts, 30));
    this.#attempts++;
    return Math.floor(this.#random() * bound);
  }

  /** The same as `next`, but at the cap: for refusals that only a person can fix. */
  longest(): number {
    this.#attempts++;
    return Math.floor(this.#random() * BACKOFF_CAP_MS);
  }

  /** A connection ended after `livedMs`. If it was stable, the failures before it are forgotten. */
  ended(livedMs: number): void {
    if (livedMs >= STABLE_AFTER_MS) this.#attempts = 0;
  }
}
