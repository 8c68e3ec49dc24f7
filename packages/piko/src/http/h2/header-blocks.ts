// Assembles header blocks that arrive in several frames (RFC 9113 section 4.3). A block in a single frame is used in place.

import type { ByteBudget } from "../../net/byte-budget.js";
import { ByteStore } from "../../net/byte-store.js";
import { FLAG_END_STREAM, FLAG_PADDED, FLAG_PRIORITY, PRIORITY_BYTES, read31 } from "./frame.js";

export class HeaderBlocks {
  /** A block has begun and isn't complete. */
  open: boolean;
  /** The block's stream; whether the block ends the stream; whether its priority makes the stream depend on itself. */
  streamId: number;
  last: boolean;
  dependsOnItself: boolean;
  /** The complete block is `buffer[start, end)`. */
  buffer: Buffer;
  start: number;
  end: number;
  readonly #store: ByteStore;
  readonly #maxBytes: number;

  constructor(budget: ByteBudget, maxBytes: number) {
    this.open = false;
    this.streamId = 0;
    this.last = false;
    this.dependsOnItself = false;
    this.buffer = EMPTY;
    this.start = 0;
    this.end = 0;
    this.#store = new ByteStore(budget);
    this.#maxBytes = maxBytes;
  }

  /**
   * A HEADERS frame has arrived. Its part of the block is between `start` and `end` of this object afterwards. False if its
   * padding is longer than the frame.
   */
  begin(flags: number, streamId: number, buffer: Buffer, start: number, end: number): boolean {
    const padded = (flags & FLAG_PADDED) !== 0;
    const prioritized = (flags & FLAG_PRIORITY) !== 0;
    const priority = padded ? start + 1 : start;
    this.open = true;
    this.streamId = streamId;
    this.last = (flags & FLAG_END_STREAM) !== 0;
    this.start = prioritized ? priority + PRIORITY_BYTES : priority;
    this.end = padded && start < end ? end - (buffer[start] as number) : end;
    this.dependsOnItself = prioritized && this.start <= this.end && read31(buffer, priority) === streamId;
    return this.start <= this.end;
  }

  /** Adds a part. `whole`: it is the last one. False if the block is too large. */
  add(buffer: Buffer, start: number, end: number, whole: boolean): boolean {
    const store = this.#store;
    if (store.length + end - start > this.#maxBytes) return false;
    this.open = !whole;
    if (whole && store.length === 0) {
      this.buffer = buffer;
      this.start = start;
      this.end = end;
      return true;
    }
    store.append(buffer, start, end);
    this.buffer = store.buffer;
    this.start = store.start;
    this.end = store.end;
    return true;
  }

  /** Frees the block's memory. */
  clear(): void {
    this.open = false;
    this.buffer = EMPTY;
    if (this.#store.buffer.length > 0) this.#store.clear();
  }
}

const EMPTY: Buffer = Buffer.alloc(0);
