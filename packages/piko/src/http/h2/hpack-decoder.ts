// Decodes header blocks (RFC 7541), one after another, and reports each field as ranges of bytes. Changes to the dynamic
// table are kept for later blocks, whatever happens to the message.

import { Scratch } from "../../net/scratch.js";
import { DynamicTable } from "./dynamic-table.js";
import { decodedCapacity, decodeHuffman } from "./huffman.js";
import { STATIC_ENTRIES, STATIC_NAMES, STATIC_VALUES } from "./static-table.js";

/** Receives the fields of a block; ranges are valid during the call. */
export interface FieldSink {
  onField(
    name: Buffer,
    nameStart: number,
    nameEnd: number,
    value: Buffer,
    valueStart: number,
    valueEnd: number,
  ): void;
}

/** The initial maximum size of the table (RFC 9113 section 6.5.2). */
const DEFAULT_TABLE_BYTES = 4_096;
/** No block needs integers with more octets than this. */
const MAX_INTEGER_BYTES = 5;

export class HpackDecoder {
  readonly #table: DynamicTable;
  /** The maximum table size that the peer may choose. */
  #maxTableBytes: number;
  /** The value of `#maxTableBytes` once the peer has acknowledged our settings. */
  readonly #settledTableBytes: number;
  /** The next block must begin with an update to a smaller size. */
  #updateRequired: boolean;
  // The block in progress.
  #buffer: Buffer;
  #at: number;
  #end: number;
  #failed: boolean;
  // The last string read.
  #string: Buffer;
  #stringStart: number;
  #stringEnd: number;

  /** `maxTableBytes`: the value sent in SETTINGS_HEADER_TABLE_SIZE. */
  constructor(maxTableBytes: number) {
    this.#settledTableBytes = maxTableBytes;
    this.#maxTableBytes = Math.max(DEFAULT_TABLE_BYTES, maxTableBytes);
    this.#table = new DynamicTable(DEFAULT_TABLE_BYTES);
    this.#updateRequired = false;
    this.#buffer = EMPTY;
    this.#at = 0;
    this.#end = 0;
    this.#failed = false;
    this.#string = EMPTY;
    this.#stringStart = 0;
    this.#stringEnd = 0;
  }

  /** The peer has acknowledged our settings. */
  settle(): void {
    this.#maxTableBytes = this.#settledTableBytes;
    this.#updateRequired = this.#table.maxSize > this.#maxTableBytes;
  }

  /** Frees all memory. */
  clear(): void {
    this.#table.clear();
    this.#buffer = EMPTY;
    this.#string = EMPTY;
  }

  /** Decodes a complete block. False if it is invalid: the connection can't continue then. */
  decode(buffer: Buffer, start: number, end: number, sink: FieldSink): boolean {
    this.#buffer = buffer;
    this.#at = start;
    this.#end = end;
    this.#failed = false;
    while (this.#at < this.#end && ((buffer[this.#at] as number) & 0xe0) === 0x20) this.#updateSize();
    if (this.#updateRequired) return false;
    while (this.#at < this.#end && !this.#failed) this.#readField(sink);
    this.#buffer = EMPTY;
    this.#string = EMPTY;
    return !this.#failed;
  }

  #readField(sink: FieldSink): void {
    const first = this.#buffer[this.#at] as number;
    if (first >= 0x80) this.#readIndexed(sink);
    else if (first >= 0x40) this.#readLiteral(sink, 6, true);
    // A size update must precede the first field (section 4.2).
    else if (first >= 0x20) this.#failed = true;
    else this.#readLiteral(sink, 4, false);
  }

  #readIndexed(sink: FieldSink): void {
    const index = this.#readInteger(7);
    if (index > 0 && index <= STATIC_ENTRIES) {
      const name = STATIC_NAMES[index] as Buffer;
      const value = STATIC_VALUES[index] as Buffer;
      sink.onField(name, 0, name.length, value, 0, value.length);
      return;
    }
    const table = this.#table;
    const entry = index - STATIC_ENTRIES - 1;
    if (index <= 0 || entry >= table.count) {
      this.#failed = true;
      return;
    }
    const start = table.nameStart(entry);
    const middle = start + table.nameLength(entry);
    sink.onField(table.bytes, start, middle, table.bytes, middle, middle + table.valueLength(entry));
  }

  #readLiteral(sink: FieldSink, prefixBits: number, indexed: boolean): void {
    const index = this.#readInteger(prefixBits);
    const table = this.#table;
    const entry = index - STATIC_ENTRIES - 1;
    let name: Buffer;
    let nameStart = 0;
    let nameEnd: number;
    if (index === 0) {
      if (!this.#readString(names)) return;
      name = this.#string;
      nameStart = this.#stringStart;
      nameEnd = this.#stringEnd;
    } else if (index > 0 && entry < 0) {
      name = STATIC_NAMES[index] as Buffer;
      nameEnd = name.length;
    } else if (entry >= 0 && entry < table.count) {
      name = table.bytes;
      nameStart = table.nameStart(entry);
      nameEnd = nameStart + table.nameLength(entry);
    } else {
      this.#failed = true;
      return;
    }
    if (!this.#readString(values)) return;
    const value = this.#string;
    const valueStart = this.#stringStart;
    const valueEnd = this.#stringEnd;
    sink.onField(name, nameStart, nameEnd, value, valueStart, valueEnd);
    if (indexed) table.add(name, nameStart, nameEnd, value, valueStart, valueEnd);
  }

  /** Reads an update of the table's size (section 6.3). */
  #updateSize(): void {
    const size = this.#readInteger(5);
    if (size < 0 || size > this.#maxTableBytes) {
      this.#failed = true;
      this.#at = this.#end;
      return;
    }
    this.#updateRequired = false;
    this.#table.resize(size);
  }

  /** Reads an integer with a prefix of `prefixBits` bits (section 5.1). Fails and returns -1 if it is invalid. */
  #readInteger(prefixBits: number): number {
    const buffer = this.#buffer;
    const mask = (1 << prefixBits) - 1;
    let value = (buffer[this.#at++] as number) & mask;
    if (value < mask) return value;
    for (let i = 0, factor = 1; i < MAX_INTEGER_BYTES && this.#at < this.#end; i++, factor *= 128) {
      const byte = buffer[this.#at++] as number;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
    this.#failed = true;
    return -1;
  }

  /** Reads a string (section 5.2), in place or decoded to `scratch`. False if it is invalid. */
  #readString(scratch: Scratch): boolean {
    if (this.#failed || this.#at === this.#end) {
      this.#failed = true;
      return false;
    }
    const coded = (this.#buffer[this.#at] as number) >= 0x80;
    const length = this.#readInteger(7);
    const start = this.#at;
    const end = start + length;
    if (length < 0 || end > this.#end) {
      this.#failed = true;
      return false;
    }
    this.#at = end;
    this.#string = this.#buffer;
    this.#stringStart = start;
    this.#stringEnd = end;
    if (!coded) return true;
    this.#string = scratch.take(decodedCapacity(length));
    this.#stringStart = 0;
    this.#stringEnd = decodeHuffman(this.#buffer, start, end, this.#string, 0);
    this.#failed = this.#stringEnd < 0;
    return !this.#failed;
  }
}

const EMPTY: Buffer = Buffer.alloc(0);

/** Memory for decoded strings, used within one field only; shared by all decoders. */
const names = new Scratch();
const values = new Scratch();
