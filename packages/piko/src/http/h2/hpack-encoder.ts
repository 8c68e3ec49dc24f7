// Encodes header blocks (RFC 7541): fields of the static table by their indexes, all others as literals. Dynamic table and
// Huffman code aren't used: if bodies follow, they cost a proxy more than they save. So the encoder has no state, and no one
// can find out what it has sent before.

import * as ascii from "../ascii.js";
import { STATIC_INDEX, STATIC_NAMES, statusIndex } from "./static-table.js";

// Local copies: see ascii.ts.
const { TOKEN_LOWER } = ascii;

/** A size update to zero, the first octet of a connection's first block: the dynamic table is empty, and stays so. */
export const NO_TABLE = 0x20;
/** Maximum number of bytes that a field adds to those of its name and value: one octet, and two lengths. */
export const FIELD_EXTRA_BYTES = 11;
/** Maximum encoded size of `:status`, in bytes. */
export const STATUS_BYTES = 5;

/** The pseudo-fields of a request. */
export type PseudoField = ":method" | ":scheme" | ":path" | ":authority";

const INDEXED = 0x80;
const LITERAL_BITS = 4;
const NEVER_INDEXED = 0x10;
const STATUS_NAME = STATIC_INDEX.get(":status") as number;
const MAX_STATUS = 999;
const STATUS_INDEXES: Uint8Array = Uint8Array.from({ length: MAX_STATUS + 1 }, (_, status) =>
  statusIndex(status),
);

// Indexes of the static table's names, by length, first and last letter; 0 for none.
const SLOTS = 1_024;
const slotOf = (length: number, first: number, last: number): number =>
  (length * 37 + first * 7 + last * 3) & (SLOTS - 1);
const CANDIDATES: Uint8Array = new Uint8Array(SLOTS);
for (const [name, index] of STATIC_INDEX) {
  const slot = slotOf(name.length, name.charCodeAt(0), name.charCodeAt(name.length - 1));
  // If two names share a slot, the second one is written without an index.
  if (CANDIDATES[slot] === 0) CANDIDATES[slot] = index;
}

/** Writes `:status` at `out[at]`. Returns the offset after it. */
export function encodeStatus(out: Uint8Array, at: number, status: number): number {
  const index = STATUS_INDEXES[status] as number;
  if (index !== 0) {
    out[at] = INDEXED | index;
    return at + 1;
  }
  out[at] = STATUS_NAME;
  out[at + 1] = 3;
  out[at + 2] = 0x30 + Math.floor(status / 100);
  out[at + 3] = 0x30 + (Math.floor(status / 10) % 10);
  out[at + 4] = 0x30 + (status % 10);
  return at + 5;
}

/**
 * Writes a field, with its name in lower case. `secret`: no intermediary may index it. Returns the offset after the field,
 * which takes at most {@link FIELD_EXTRA_BYTES} more than its name and value.
 */
export function encodeField(
  out: Uint8Array,
  at: number,
  name: Uint8Array,
  nameStart: number,
  nameEnd: number,
  value: Uint8Array,
  valueStart: number,
  valueEnd: number,
  secret: boolean,
): number {
  const first = secret ? NEVER_INDEXED : 0;
  const index = staticIndex(name, nameStart, nameEnd);
  if (index !== 0) at = encodeInteger(out, at, LITERAL_BITS, first, index);
  else {
    out[at++] = first;
    at = encodeInteger(out, at, 7, 0, nameEnd - nameStart);
    for (let i = nameStart; i < nameEnd; i++) out[at++] = TOKEN_LOWER[name[i] as number] as number;
  }
  return encodeValue(out, at, value, valueStart, valueEnd);
}

/** Writes a pseudo-field, whose name is in the static table. Returns the offset after it. */
export function encodePseudoField(
  out: Uint8Array,
  at: number,
  name: PseudoField,
  value: Uint8Array,
  valueStart: number,
  valueEnd: number,
): number {
  at = encodeInteger(out, at, LITERAL_BITS, 0, STATIC_INDEX.get(name) as number);
  return encodeValue(out, at, value, valueStart, valueEnd);
}

function encodeValue(
  out: Uint8Array,
  at: number,
  value: Uint8Array,
  valueStart: number,
  valueEnd: number,
): number {
  at = encodeInteger(out, at, 7, 0, valueEnd - valueStart);
  for (let i = valueStart; i < valueEnd; i++) out[at++] = value[i] as number;
  return at;
}

/** Writes an integer with a prefix of `prefixBits` bits, after the bits of `first` (section 5.1). */
export function encodeInteger(
  out: Uint8Array,
  at: number,
  prefixBits: number,
  first: number,
  value: number,
): number {
  const mask = (1 << prefixBits) - 1;
  if (value < mask) {
    out[at] = first | value;
    return at + 1;
  }
  out[at++] = first | mask;
  let rest = value - mask;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out[at++] = (rest & 0x7f) | 0x80;
  out[at] = rest;
  return at + 1;
}

/** The static table's index of a name in any case, or 0. */
function staticIndex(name: Uint8Array, start: number, end: number): number {
  if (start === end) return 0;
  const first = TOKEN_LOWER[name[start] as number] as number;
  const last = TOKEN_LOWER[name[end - 1] as number] as number;
  const index = CANDIDATES[slotOf(end - start, first, last)] as number;
  if (index === 0) return 0;
  const known = STATIC_NAMES[index] as Buffer;
  if (known.length !== end - start) return 0;
  for (let i = 0; i < known.length; i++) {
    if (TOKEN_LOWER[name[start + i] as number] !== known[i]) return 0;
  }
  return index;
}
