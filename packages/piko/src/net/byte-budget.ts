// Memory that many byte stores hold together, as one number: what a single connection may hold is little, what all of
// them may hold is not.

export class ByteBudget {
  /** Bytes of memory that the stores hold now. */
  used = 0;
  readonly #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** More is held than should be: who can do without, does. */
  get exhausted(): boolean {
    return this.used > this.#maxBytes;
  }
}
