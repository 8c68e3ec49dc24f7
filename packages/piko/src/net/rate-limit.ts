// A limit per second: a token bucket that fills evenly and holds one second's worth.

export class RateLimit {
  /** How many are allowed per second; Infinity for no limit. */
  readonly perSecond: number;
  #left: number;
  #filledMs: number;

  constructor(perSecond: number, nowMs: number) {
    this.perSecond = perSecond;
    this.#left = perSecond;
    this.#filledMs = nowMs;
  }

  /** Takes a token if there is one. */
  take(nowMs: number): boolean {
    if (this.perSecond === Number.POSITIVE_INFINITY) return true;
    this.#left = Math.min(this.perSecond, this.#left + ((nowMs - this.#filledMs) * this.perSecond) / 1_000);
    this.#filledMs = nowMs;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
