// Reads MessagePack as tolerantly as Go Piko's decoder does: integers of any width, strings as str, bin or nil, structs as maps
// in any order or as arrays. Used by the codec only. Never allocates memory just because a length field asks for it.

import { GossipError } from "./errors.js";

/** Thrown when the bytes end within a value, as they may in a datagram. A single object, because no stack is needed. */
export const TRUNCATED: GossipError = new GossipError(
  "PIKO_GOSSIP_TRUNCATED",
  "message ends in the middle of a value",
);

/** A field with an unknown name. */
const UNKNOWN_FIELD = -1;

/** The names of a struct's fields in order, as bytes to compare with. */
export type FieldNames = readonly Buffer[];

/** Creates {@link FieldNames}. */
export function fieldNames(...names: readonly string[]): FieldNames {
  return names.map((name) => Buffer.from(name));
}

/** Maximum fields of a struct, and values in an unknown field: skipping costs as much as reading. */
const MAX_FIELDS = 1_024;
const MAX_SKIPPED_VALUES = 4_096;

/** A cursor over a message. */
export class MsgpackReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, start = 0) {
    this.#bytes = bytes;
    this.#at = start;
  }

  /** The current position; may be set to an earlier one. */
  get at(): number {
    return this.#at;
  }

  set at(at: number) {
    this.#at = at;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Remaining bytes, which limit how many values can follow. */
  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  /** Begins a struct. Returns the number of fields of a map, or for an array, -1 minus the number of its elements. */
  struct(): number {
    const struct = this.#structHeader();
    if (Math.abs(struct) > MAX_FIELDS)
      throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", `struct of ${Math.abs(struct)} fields`);
    return struct;
  }

  #structHeader(): number {
    const tag = this.#byte();
    if (tag >= 0x80 && tag <= 0x8f) return tag & 0x0f;
    if (tag >= 0x90 && tag <= 0x9f) return -1 - (tag & 0x0f);
    if (tag === 0xc0) return 0;
    if (tag === 0xde) return this.#uint(2);
    if (tag === 0xdf) return this.#uint(4);
    if (tag === 0xdc) return -1 - this.#uint(2);
    if (tag === 0xdd) return -1 - this.#uint(4);
    throw bad("a struct", tag);
  }

  /** Reads the name of field `index` of a struct begun by {@link struct}; returns its index in `names`. */
  field(struct: number, index: number, names: FieldNames): number {
    if (struct < 0) return index < names.length ? index : UNKNOWN_FIELD;
    const length = this.#stringLength(this.#byte());
    const start = this.#advance(length);
    // Go writes the fields in this order, so the first guess is nearly always right.
    if (index < names.length && this.#equals(start, length, names[index])) return index;
    for (let i = 0; i < names.length; i++) if (this.#equals(start, length, names[i])) return i;
    return UNKNOWN_FIELD;
  }

  /** Begins a list; returns its length, or 0 for nil. Each element takes at least `minBytes`. */
  array(minBytes: number): number {
    const tag = this.#byte();
    let count: number;
    if (tag >= 0x90 && tag <= 0x9f) count = tag & 0x0f;
    else if (tag === 0xc0) count = 0;
    else if (tag === 0xdc) count = this.#uint(2);
    else if (tag === 0xdd) count = this.#uint(4);
    else throw bad("an array", tag);
    if (count * minBytes > this.remaining) throw TRUNCATED;
    return count;
  }

  string(): string {
    const tag = this.#byte();
    if ((tag >= 0x90 && tag <= 0x9f) || tag === 0xdc || tag === 0xdd) return this.#bytesOfArray(tag);
    const length = this.#stringLength(tag);
    const start = this.#advance(length);
    return this.#bytes.toString("utf8", start, start + length);
  }

  /** Reads a version: an integer from 0 to 2^53 - 1. */
  uint(): number {
    const value = this.int();
    if (value < 0) throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", `negative version ${value}`);
    return value;
  }

  int(): number {
    const tag = this.#byte();
    if (tag < 0x80) return tag;
    if (tag >= 0xe0) return tag - 0x100;
    switch (tag) {
      case 0xc0:
        return 0;
      case 0xcc:
        return this.#uint(1);
      case 0xcd:
        return this.#uint(2);
      case 0xce:
        return this.#uint(4);
      case 0xcf:
        return safe(this.#bytes.readBigUInt64BE(this.#advance(8)));
      case 0xd0:
        return this.#bytes.readInt8(this.#advance(1));
      case 0xd1:
        return this.#bytes.readInt16BE(this.#advance(2));
      case 0xd2:
        return this.#bytes.readInt32BE(this.#advance(4));
      case 0xd3:
        return safe(this.#bytes.readBigInt64BE(this.#advance(8)));
      case 0xca:
        return whole(this.#bytes.readFloatBE(this.#advance(4)));
      case 0xcb:
        return whole(this.#bytes.readDoubleBE(this.#advance(8)));
      default:
        throw bad("a number", tag);
    }
  }

  bool(): boolean {
    const tag = this.#byte();
    if (tag === 0xc3 || tag === 0x01) return true;
    if (tag === 0xc2 || tag === 0x00 || tag === 0xc0) return false;
    throw bad("a boolean", tag);
  }

  /** Skips one value of any kind and depth. */
  skip(): void {
    let seen = 0;
    for (let values = 1; values > 0; values--) {
      seen += 1;
      if (seen > MAX_SKIPPED_VALUES)
        throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", `more than ${MAX_SKIPPED_VALUES} unknown values`);
      const { header, body, nested } = valueSize(this.#bytes, this.#at);
      if (header === 0) throw TRUNCATED;
      this.#advance(header + body);
      values += nested;
    }
  }

  #stringLength(tag: number): number {
    if (tag >= 0xa0 && tag <= 0xbf) return tag & 0x1f;
    if (tag === 0xc0) return 0;
    if (tag === 0xd9 || tag === 0xc4) return this.#uint(1);
    if (tag === 0xda || tag === 0xc5) return this.#uint(2);
    if (tag === 0xdb || tag === 0xc6) return this.#uint(4);
    throw bad("a string", tag);
  }

  #bytesOfArray(tag: number): string {
    const count = tag === 0xdc ? this.#uint(2) : tag === 0xdd ? this.#uint(4) : tag & 0x0f;
    if (count > this.remaining) throw TRUNCATED;
    const bytes = Buffer.allocUnsafe(count);
    for (let i = 0; i < count; i++) {
      const value = this.int();
      if (value < 0 || value > 0xff)
        throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", `byte ${value} in a string`);
      bytes[i] = value;
    }
    return bytes.toString();
  }

  #equals(start: number, length: number, name: Buffer | undefined): boolean {
    if (name?.length !== length) return false;
    for (let i = 0; i < length; i++) if (this.#bytes[start + i] !== name[i]) return false;
    return true;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw TRUNCATED;
    this.#at += 1;
    return byte;
  }

  #uint(width: number): number {
    return this.#bytes.readUIntBE(this.#advance(width), width);
  }

  /** Advances by `count` bytes and returns where they begin. */
  #advance(count: number): number {
    const start = this.#at;
    if (count > this.#bytes.length - start) throw TRUNCATED;
    this.#at = start + count;
    return start;
  }
}

/** Size of a value: bytes of its header, bytes that follow it, and values nested in it. */
export interface ValueSize {
  /** 0 if the bytes end within the header. */
  header: number;
  body: number;
  nested: number;
}

const FIXED_BODY: ReadonlyMap<number, number> = new Map([
  [0xc0, 0],
  [0xc2, 0],
  [0xc3, 0],
  [0xca, 4],
  [0xcb, 8],
  [0xcc, 1],
  [0xcd, 2],
  [0xce, 4],
  [0xcf, 8],
  [0xd0, 1],
  [0xd1, 2],
  [0xd2, 4],
  [0xd3, 8],
  [0xd4, 2],
  [0xd5, 3],
  [0xd6, 5],
  [0xd7, 9],
  [0xd8, 17],
]);
/** Size of the length field, and bytes that follow in addition to the length (an extension's type). */
const SIZED: ReadonlyMap<number, readonly [number, number]> = new Map([
  [0xc4, [1, 0]],
  [0xc5, [2, 0]],
  [0xc6, [4, 0]],
  [0xc7, [1, 1]],
  [0xc8, [2, 1]],
  [0xc9, [4, 1]],
  [0xd9, [1, 0]],
  [0xda, [2, 0]],
  [0xdb, [4, 0]],
]);
const SIZE: ValueSize = { header: 0, body: 0, nested: 0 };

/** Measures the value at `at`; the result is valid until the next call. */
export function valueSize(bytes: Buffer, at: number, end: number = bytes.length): ValueSize {
  SIZE.header = 0;
  SIZE.body = 0;
  SIZE.nested = 0;
  if (at >= end) return SIZE;
  const tag = bytes[at] ?? 0;
  if (tag < 0x80 || tag >= 0xe0) SIZE.header = 1;
  else if (tag < 0xa0) {
    SIZE.header = 1;
    SIZE.nested = tag < 0x90 ? 2 * (tag & 0x0f) : tag & 0x0f;
  } else if (tag < 0xc0) {
    SIZE.header = 1;
    SIZE.body = tag & 0x1f;
  } else if (tag >= 0xdc && tag <= 0xdf) {
    const width = tag % 2 === 0 ? 2 : 4;
    if (at + 1 + width > end) return SIZE;
    SIZE.header = 1 + width;
    SIZE.nested = bytes.readUIntBE(at + 1, width) * (tag >= 0xde ? 2 : 1);
  } else {
    const sized = SIZED.get(tag);
    const fixed = FIXED_BODY.get(tag);
    if (sized !== undefined) {
      const [width, more] = sized;
      if (at + 1 + width > end) return SIZE;
      SIZE.header = 1 + width;
      SIZE.body = bytes.readUIntBE(at + 1, width) + more;
    } else if (fixed !== undefined) {
      SIZE.header = 1;
      SIZE.body = fixed;
    } else throw bad("a value", tag);
  }
  return SIZE;
}

function bad(wanted: string, tag: number): GossipError {
  return new GossipError(
    "PIKO_GOSSIP_BAD_MESSAGE",
    `0x${tag.toString(16).padStart(2, "0")} where ${wanted} was expected`,
  );
}

function safe(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number))
    throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", `number ${value} is too large`);
  return number;
}

function whole(value: number): number {
  if (!Number.isSafeInteger(value))
    throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", `number ${value} is not whole`);
  return value;
}
