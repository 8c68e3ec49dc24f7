// Writes the fields of an HTTP/2 message as the lines of an HTTP/1.1 one, for the code that parses those. No part of a
// field may become a separate line, or another message (RFC 9113 sections 8.2 and 10.3): a field that could is malformed.

import * as ascii from "../ascii.js";
import * as names from "../field-names.js";
import type { FieldSink } from "./hpack-decoder.js";

// Local copies: see ascii.ts.
const { COLON, CR, HTAB, LF, SP, TOKEN_LOWER } = ascii;
const { fieldId } = names;

const FIRST_BYTES = 16 * 1024;
/** What a field counts in addition to its bytes (RFC 9113 section 6.5.2); its line needs no more than that. */
const FIELD_OVERHEAD_BYTES = 32;

/** Fields that belong to a connection: HTTP/2 expresses their meaning in other ways (section 8.2.2). */
const FORBIDDEN: Uint8Array = new Uint8Array(names.FIELD_NAMES.length);
for (const id of [
  names.FIELD_CONNECTION,
  names.FIELD_KEEP_ALIVE,
  names.FIELD_PROXY_CONNECTION,
  names.FIELD_TRANSFER_ENCODING,
  names.FIELD_UPGRADE,
]) {
  FORBIDDEN[id] = 1;
}
const TRAILERS = ascii.asciiBytes("trailers");

/** Collects the fields of one message after another; reuses its memory. */
export abstract class FieldLines implements FieldSink {
  /** The lines are in `buffer[start, end)`. */
  buffer: Buffer;
  start: number;
  end: number;
  /** Why the message is malformed, in lower case; undefined if it isn't. */
  malformed: string | undefined;
  /** The fields exceed the maximum size; the remaining ones are left out. */
  tooLarge: boolean;
  #sizeLeft: number;
  readonly #maxBytes: number;

  /** `maxBytes`: maximum size of all fields, counting 32 extra bytes for each. */
  constructor(maxBytes: number) {
    this.buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
    this.start = 0;
    this.end = 0;
    this.malformed = undefined;
    this.tooLarge = false;
    this.#sizeLeft = maxBytes;
    this.#maxBytes = maxBytes;
  }

  /** Prepares for the next message. */
  abstract begin(): void;

  abstract onField(
    name: Buffer,
    nameStart: number,
    nameEnd: number,
    value: Buffer,
    valueStart: number,
    valueEnd: number,
  ): void;

  /** Resets the state that all kinds of messages share. */
  protected clear(): void {
    this.start = 0;
    this.end = 0;
    this.malformed = undefined;
    this.tooLarge = false;
    this.#sizeLeft = this.#maxBytes;
  }

  /** Counts a field of this size. False if it has to be skipped because the message is malformed or too large. */
  protected admit(bytes: number): boolean {
    this.#sizeLeft -= bytes + FIELD_OVERHEAD_BYTES;
    if (this.#sizeLeft < 0) this.tooLarge = true;
    return !this.tooLarge && this.malformed === undefined;
  }

  /** Checks a field's name and value. Returns the name's FIELD_* number, or -1 if the field is malformed. */
  protected check(
    name: Buffer,
    nameStart: number,
    nameEnd: number,
    value: Buffer,
    valueStart: number,
    valueEnd: number,
  ): number {
    if (!isName(name, nameStart, nameEnd)) return this.refuse("invalid field name");
    if (!isValue(value, valueStart, valueEnd)) return this.refuse("invalid field value");
    const id = fieldId(name, nameStart, nameEnd);
    if (FORBIDDEN[id] === 1) return this.refuse("field that belongs to a connection");
    if (id === names.FIELD_TE && !ascii.equalsIgnoringCase(value, valueStart, valueEnd, TRAILERS)) {
      return this.refuse("te other than trailers");
    }
    return id;
  }

  protected refuse(why: string): -1 {
    this.malformed ??= why;
    return -1;
  }

  /** Adds a field line. */
  protected addLine(
    name: Buffer,
    nameStart: number,
    nameEnd: number,
    value: Buffer,
    valueStart: number,
    valueEnd: number,
  ): void {
    this.makeRoom(nameEnd - nameStart + valueEnd - valueStart + FIELD_OVERHEAD_BYTES);
    const { buffer } = this;
    let at = this.end;
    for (let i = nameStart; i < nameEnd; i++) buffer[at++] = name[i] as number;
    buffer[at] = COLON;
    buffer[at + 1] = SP;
    at += 2;
    for (let i = valueStart; i < valueEnd; i++) buffer[at++] = value[i] as number;
    buffer[at] = CR;
    buffer[at + 1] = LF;
    this.end = at + 2;
  }

  /** Adds bytes unchanged. */
  protected add(bytes: Buffer, start: number, end: number): void {
    this.makeRoom(end - start);
    const { buffer } = this;
    let at = this.end;
    for (let i = start; i < end; i++) buffer[at++] = bytes[i] as number;
    this.end = at;
  }

  protected makeRoom(count: number): void {
    const needed = this.end + count;
    if (needed <= this.buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.buffer.length * 2));
    this.buffer.copy(larger, 0, 0, this.end);
    this.buffer = larger;
  }
}

/** Whether a name is a token without upper-case letters (section 8.2). */
function isName(buffer: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const byte = buffer[i] as number;
    if (byte === 0 || TOKEN_LOWER[byte] !== byte) return false;
  }
  return end > start;
}

/** Whether a value has no NUL, CR or LF, and no white space at its start or end (section 8.2.1). */
function isValue(buffer: Uint8Array, start: number, end: number): boolean {
  if (start === end) return true;
  const first = buffer[start] as number;
  const last = buffer[end - 1] as number;
  if (first === SP || first === HTAB || last === SP || last === HTAB) return false;
  for (let i = start; i < end; i++) {
    const byte = buffer[i] as number;
    if (byte <= CR && (byte === 0 || byte === LF || byte === CR)) return false;
  }
  return true;
}
