// Long bodies that are cheap to make and to check: one random block whose first eight bytes carry its number. A lost,
// duplicated or swapped byte is found at once, with its offset, without keeping the body.

import { SeededRandom } from "./seeded-random.js";

/** Size of a block. */
export const BLOCK_BYTES: number = 64 * 1024;

const NUMBER_BYTES = 8;

function makeBlock(seed: number): Buffer {
  return new SeededRandom(seed).bytes(BLOCK_BYTES);
}

/** Produces the first `totalBytes` bytes of the pattern. */
export class PatternSource {
  readonly totalBytes: number;
  readonly #block: Buffer;
  #offset = 0;

  constructor(totalBytes: number, seed = 1) {
    this.totalBytes = totalBytes;
    this.#block = makeBlock(seed);
  }

  /** Returns the next piece, a copy of at most one block, or undefined at the end. */
  next(): Buffer | undefined {
    const left = this.totalBytes - this.#offset;
    if (left === 0) return undefined;
    const piece = Buffer.from(this.#block);
    piece.writeBigUInt64BE(BigInt(this.#offset / BLOCK_BYTES));
    const length = Math.min(left, BLOCK_BYTES);
    this.#offset += length;
    return piece.subarray(0, length);
  }

  *[Symbol.iterator](): Generator<Buffer> {
    for (let piece = this.next(); piece !== undefined; piece = this.next()) yield piece;
  }
}

/** Checks bytes against the pattern as they arrive, in pieces of any size. */
export class PatternChecker {
  /** Bytes seen so far. */
  offset = 0;
  /** Offset of the first byte that differs, or -1. */
  mismatchAt = -1;
  readonly #block: Buffer;

  constructor(seed = 1) {
    this.#block = makeBlock(seed);
    this.#block.writeBigUInt64BE(0n);
  }

  /** Checks the next bytes of the body. */
  update(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      const inBlock = this.offset % BLOCK_BYTES;
      if (inBlock === 0) this.#block.writeBigUInt64BE(BigInt(this.offset / BLOCK_BYTES));
      const length = Math.min(bytes.length - at, BLOCK_BYTES - inBlock);
      const equal = bytes.compare(this.#block, inBlock, inBlock + length, at, at + length) === 0;
      if (!equal && this.mismatchAt < 0) this.mismatchAt = this.#firstDifference(bytes, at, inBlock, length);
      at += length;
      this.offset += length;
    }
  }

  /** Throws unless exactly the first `totalBytes` bytes of the pattern were seen. */
  assertComplete(totalBytes: number): void {
    if (this.mismatchAt >= 0) throw new Error(`the body differs from byte ${this.mismatchAt} on`);
    if (this.offset !== totalBytes) throw new Error(`the body has ${this.offset} bytes, not ${totalBytes}`);
  }

  #firstDifference(bytes: Buffer, at: number, inBlock: number, length: number): number {
    for (let i = 0; i < length; i++) {
      if (bytes[at + i] !== this.#block[inBlock + i]) return this.offset + i;
    }
    return this.offset + Math.min(NUMBER_BYTES, length);
  }
}
