// The dynamic table of an HPACK decoder (RFC 7541 sections 2.3.2 and 4): the peer's most recent fields. Names and values
// are stored in one buffer, in order of arrival. An empty table holds no memory.

/** What an entry counts in addition to its bytes (section 4.1). */
export const ENTRY_OVERHEAD_BYTES = 32;

const FIRST_BYTES = 1_024;
const STRIDE = 3;

export class DynamicTable {
  /** Number of entries. */
  count: number;
  /** Size as defined by HPACK, and its maximum. */
  size: number;
  maxSize: number;
  /** The buffer with the entries' names and values. */
  bytes: Buffer;
  #end: number;
  /** Start, name length and value length of each entry; a ring, with the newest entry at `#youngest`. */
  #entries: Int32Array;
  #youngest: number;

  constructor(maxSize: number) {
    this.count = 0;
    this.size = 0;
    this.maxSize = maxSize;
    this.bytes = EMPTY;
    this.#end = 0;
    this.#entries = NONE;
    this.#youngest = 0;
  }

  /** Where the name of an entry starts; index 0 is the newest one. Its value follows the name. */
  nameStart(index: number): number {
    return this.#entries[this.#at(index)] as number;
  }

  nameLength(index: number): number {
    return this.#entries[this.#at(index) + 1] as number;
  }

  valueLength(index: number): number {
    return this.#entries[this.#at(index) + 2] as number;
  }

  /** Changes the maximum size; evicts what exceeds it. */
  resize(maxSize: number): void {
    this.maxSize = maxSize;
    this.#evictTo(maxSize);
  }

  /** Adds an entry, and evicts old ones to make room. `name` may be in the table itself. An entry that is too large empties the table. */
  add(
    name: Buffer,
    nameStart: number,
    nameEnd: number,
    value: Buffer,
    valueStart: number,
    valueEnd: number,
  ): void {
    const nameLength = nameEnd - nameStart;
    const valueLength = valueEnd - valueStart;
    const entrySize = nameLength + valueLength + ENTRY_OVERHEAD_BYTES;
    if (entrySize > this.maxSize) {
      this.#evictTo(0);
      return;
    }
    const count = nameLength + valueLength;
    // Making room may move the bytes of `name` if it is in the table.
    const moves = this.#end + count > this.bytes.length;
    const source = moves && name === this.bytes ? Buffer.from(name.subarray(nameStart, nameEnd)) : name;
    const sourceStart = source === name ? nameStart : 0;
    this.#evictTo(this.maxSize - entrySize);
    if (moves) this.#makeRoom(count);
    if ((this.count + 1) * STRIDE > this.#entries.length) this.#growEntries();
    const start = this.#end;
    source.copy(this.bytes, start, sourceStart, sourceStart + nameLength);
    value.copy(this.bytes, start + nameLength, valueStart, valueEnd);
    this.#end = start + count;
    this.count++;
    this.size += entrySize;
    this.#youngest = (this.#youngest + STRIDE) % this.#entries.length;
    this.#entries[this.#youngest] = start;
    this.#entries[this.#youngest + 1] = nameLength;
    this.#entries[this.#youngest + 2] = valueLength;
  }

  /** Forgets all entries and frees the memory. */
  clear(): void {
    this.#evictTo(0);
    this.bytes = EMPTY;
    this.#entries = NONE;
    this.#youngest = 0;
  }

  #at(index: number): number {
    const at = this.#youngest - index * STRIDE;
    return at < 0 ? at + this.#entries.length : at;
  }

  #evictTo(size: number): void {
    while (this.size > size) {
      const at = this.#at(this.count - 1);
      this.size -=
        (this.#entries[at + 1] as number) + (this.#entries[at + 2] as number) + ENTRY_OVERHEAD_BYTES;
      this.count--;
    }
    if (this.count === 0) this.#end = 0;
  }

  /** Moves the entries to the front, or to larger memory if they need more than half of the current one. */
  #makeRoom(count: number): void {
    const from = this.count === 0 ? this.#end : this.nameStart(this.count - 1);
    const live = this.#end - from;
    let target = this.bytes;
    if ((live + count) * 2 > target.length) {
      let length = Math.max(target.length, FIRST_BYTES);
      while (length < (live + count) * 2) length *= 2;
      target = Buffer.allocUnsafeSlow(length);
    }
    this.bytes.copy(target, 0, from, this.#end);
    this.bytes = target;
    this.#end = live;
    for (let index = 0; index < this.count; index++) {
      const at = this.#at(index);
      this.#entries[at] = (this.#entries[at] as number) - from;
    }
  }

  #growEntries(): void {
    const larger = new Int32Array(Math.max(this.#entries.length * 2, 16 * STRIDE));
    for (let index = 0; index < this.count; index++) {
      const at = this.#at(index);
      larger.set(this.#entries.subarray(at, at + STRIDE), (this.count - 1 - index) * STRIDE);
    }
    this.#entries = larger;
    this.#youngest = this.count === 0 ? 0 : (this.count - 1) * STRIDE;
  }
}

const EMPTY: Buffer = Buffer.alloc(0);
const NONE: Int32Array = new Int32Array(0);
