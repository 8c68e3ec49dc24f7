// Limits actions that cost a peer less than us: allows a number of them at once, and replenishes it over time.

export class FrameBudget {
  readonly #max: number;
  /** Actions replenished per millisecond. */
  readonly #rate: number;
  #left: number;
  #lastMs: number;

  /** `max`: number of actions allowed at once. An exhausted budget is full again after `refillMs`. */
  constructor(max: number, refillMs: number, nowMs: number) {
    this.#max = max;
    this.#rate = max / refillMs;
    this.#left = max;
    this.#lastMs = nowMs;
  }

  /** Counts an action. False if it exceeds the budget. */
  take(nowMs: number): boolean {
    this.#left = Math.min(this.#max, this.#left + (nowMs - this.#lastMs) * this.#rate) - 1;
    this.#lastMs = nowMs;
    return this.#left >= 0;
  }

  /** The peer did something useful: increases the budget, up to its maximum. */
  give(count: number): void {
    this.#left = Math.min(this.#max, this.#left + count);
  }
}
