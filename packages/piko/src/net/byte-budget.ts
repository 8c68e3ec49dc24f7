// The total memory of many byte stores, as one number: a single connection may hold only a little, but all of them
// together a lot.

/** A partial head of no more than this is read to its end even if memory is short. */
export const SMALL_HEAD_BYTES = 4_096;

export class ByteBudget {
  /** Bytes of memory that the stores hold now. */
  used = 0;
  readonly maxBytes: number;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** More is held than should be: stores that can release memory do. */
  get exhausted(): boolean {
    return this.used > this.maxBytes;
  }
}
