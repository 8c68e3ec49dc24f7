// The memory of many byte stores together, as one number: a single connection may hold only a little, but all of them together
// hold a lot.

/** A partial head up to this size is read to its end even if memory is short. */
export const SMALL_HEAD_BYTES = 4_096;

export class ByteBudget {
  /** Bytes of memory that the stores hold at present. */
  used = 0;
  readonly maxBytes: number;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Whether the stores hold too much; those that can release memory then do so. */
  get exhausted(): boolean {
    return this.used > this.maxBytes;
  }
}
