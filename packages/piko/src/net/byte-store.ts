// Bytes that have to outlive their read callback: a head that arrived in parts, a pipelined request, output that a slow peer
// hasn't read. An empty store holds no memory. Its owner limits its size.

import { giveSlab, SLAB_BYTES, takeSlab } from "@piko/tunnel";
import type { ByteBudget } from "./byte-budget.js";

export class ByteStore {
  /** The bytes are `buffer[start, end)`. */
  buffer: Buffer = EMPTY;
  start = 0;
  end = 0;
  readonly #budget: ByteBudget | undefined;
  readonly #pooled: boolean;

  /**
   * @param budget counts the store's memory; the store must then be cleared before it is dropped
   * @param pooled larger memory comes from the pool of slabs, and returns to it when the store is empty: `buffer` must not be
   * read after that
   */
  constructor(budget?: ByteBudget, pooled = false) {
    this.#budget = budget;
    this.#pooled = pooled;
  }

  get length(): number {
    return this.end - this.start;
  }

  /** Copies bytes to the end. */
  append(source: Buffer, start: number, end: number): void {
    const count = end - start;
    if (count === 0) return;
    this.reserve(count);
    source.copy(this.buffer, this.end, start, end);
    this.end += count;
  }

  /** Makes room for this many bytes after `end`, where the caller writes them and advances `end`. */
  reserve(count: number): void {
    if (this.end + count > this.buffer.length) this.#makeRoom(count);
  }

  /** Drops the first bytes, up to the offset `to`. */
  consumeTo(to: number): void {
    this.start = to;
    if (this.start === this.end) this.clear();
  }

  /** Discards all bytes, and keeps the memory for the next ones unless it is more than `maxBytes`. */
  rewind(maxBytes: number): void {
    if (this.buffer.length > maxBytes) this.#hold(EMPTY);
    this.start = 0;
    this.end = 0;
  }

  /** Discards all bytes and the memory. */
  clear(): void {
    this.#hold(EMPTY);
    this.start = 0;
    this.end = 0;
  }

  #makeRoom(count: number): void {
    const length = this.length;
    const needed = length + count;
    if (needed <= this.buffer.length && this.start >= this.buffer.length / 2) {
      this.buffer.copy(this.buffer, 0, this.start, this.end);
    } else {
      const larger = this.#allocate(needed);
      this.buffer.copy(larger, 0, this.start, this.end);
      this.#hold(larger);
    }
    this.start = 0;
    this.end = length;
  }

  #allocate(needed: number): Buffer {
    if (this.#pooled && needed > SLAB_FROM_BYTES && needed <= SLAB_BYTES) return takeSlab(needed);
    return Buffer.allocUnsafeSlow(Math.max(needed, this.buffer.length * 2, MIN_BYTES));
  }

  #hold(buffer: Buffer): void {
    if (this.#budget !== undefined) this.#budget.used += buffer.length - this.buffer.length;
    if (this.#pooled) giveSlab(this.buffer);
    this.buffer = buffer;
  }
}

const EMPTY: Buffer = Buffer.alloc(0);
const MIN_BYTES = 512;
/** Smaller memory isn't taken from slabs. */
const SLAB_FROM_BYTES = 8 * 1024;
