// Limits actions that cost a peer less than us: a number at once, replenished over time.

export class FrameBudget {
  readonly #max: number;
  /** Of the budget, per millisecond. */
  readonly #rate: number;
  #left: number;
  #lastMs: number;

  /** `max`: how often it may be done at once; used up, it is full again after `refillMs`. */
  constructor(max: number, refillMs: number, nowMs: number) {
    this.#max = max;
    this.#rate = max / refillMs;
    this.#left = max;
    this.#lastMs = nowMs;
  }

  /** It was done once more. False if that is too much. */
  take(nowMs: number): boolean {
    this.#left = Math.min(this.#max, this.#left + (nowMs - this.#lastMs) * this.#rate) - 1;
    this.#lastMs = nowMs;
    return this.#left >= 0;
  }

  /** What the peer has done was worth something. */
  give(count: number): void {
    this.#left = Math.min(this.#max, this.#left + count);
  }
}
