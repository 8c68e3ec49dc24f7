// When a listener with too few tunnels tries to find another node: several times soon, since a load balancer in front of the
// cluster may choose the same node again; later only occasionally, since there may be no other.

/** Upper bound of the first delay; doubled for each further try. */
const TRY_BASE_MS = 100;
const MAX_TRY_MS = 2_000;
/** With three nodes behind a balancer that chooses at random, all of these tries fail for one listener in 59,000; they take 7 s. */
const FIRST_TRIES = 10;
/** Tries in each later search: with two nodes, they find the other one in 7 of 8 cases. */
const LATER_TRIES = 3;
const FIRST_PAUSE_MS = 30_000;
const MAX_PAUSE_MS = 300_000;

export class NodeSearch {
  readonly #random: () => number;
  #tries = 0;
  #maxTries = FIRST_TRIES;
  #pauses = 0;

  /** `random` returns numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Starts again, because something has changed and a search is worthwhile. */
  begin(): void {
    this.#tries = 0;
    this.#maxTries = FIRST_TRIES;
    this.#pauses = 0;
  }

  /** Milliseconds until the next try. */
  next(): number {
    if (this.#tries < this.#maxTries) {
      const bound = Math.min(MAX_TRY_MS, TRY_BASE_MS * 2 ** this.#tries++);
      return Math.floor(this.#random() * bound);
    }
    const baseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#pauses++);
    this.#tries = 1;
    this.#maxTries = LATER_TRIES;
    return Math.floor(baseMs * (0.5 + this.#random()));
  }

  /** Whether the last delay was a long one: there seems to be no other node now. */
  get rests(): boolean {
    return this.#pauses > 0 && this.#tries === 1;
  }
}
