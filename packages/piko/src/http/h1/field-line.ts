// The grammar of a field line: the same in request heads, response heads and trailer sections, except for white space
// before the colon. Called in a loop by their parsers; records offsets, and only checks what applies to every field.

import * as ascii from "../ascii.js";
import { trimStart } from "../ascii.js";
import { viewOf } from "../byte-view.js";
import { HTTP_ERRORS, type HttpError } from "../errors.js";
import { FIELD_CONTENT_LENGTH, FIELD_TRANSFER_ENCODING, fieldId } from "../field-names.js";
import * as layout from "../head.js";

// Local copies: see ascii.ts.
const { COLON, CR, DEL, HTAB, LF, SP, TOKEN_LOWER } = ascii;
const { FIELD_ID, LINE_END, LINE_START, NAME_END, VALUE_END, VALUE_START } = layout;

/** Longer values are scanned in words. */
const LONG_VALUE = 32;
// One byte, repeated in the four bytes of a word.
const SPS = 0x20202020;
const DELS = 0x7f7f7f7f;
const ONES = 0x01010101;
const HIGH_BITS = 0x80808080;

/** The line isn't complete yet. */
export const LINE_INCOMPLETE = 0;

const BAD_NAME = -1;
const BAD_NAME_SPACE = -2;
const BAD_FOLD = -3;
const BAD_VALUE = -4;
const BAD_LF = -5;
const BAD_CR = -6;

const LINE_ERRORS: readonly HttpError[] = [
  HTTP_ERRORS.FIELD_NAME,
  HTTP_ERRORS.FIELD_NAME_SPACE,
  HTTP_ERRORS.FIELD_FOLDED,
  HTTP_ERRORS.FIELD_VALUE,
  HTTP_ERRORS.BARE_LF,
  HTTP_ERRORS.BARE_CR,
];

/** The error for a negative result of {@link parseFieldLine} or {@link endOfText}. */
export function lineError(result: number): HttpError {
  return LINE_ERRORS[-1 - result] ?? HTTP_ERRORS.FIELD_VALUE;
}

/**
 * Reads the field line at `start`, which must not be the blank line, into the record at `fields[at]`. Returns the offset
 * after its LF, LINE_INCOMPLETE, or a negative number for {@link lineError}.
 */
export function parseFieldLine(
  fields: Int32Array,
  at: number,
  buffer: Uint8Array,
  start: number,
  end: number,
): number {
  let i = start;
  while (i < end && TOKEN_LOWER[buffer[i] as number] !== 0) i++;
  if (i === end) return LINE_INCOMPLETE;
  if (buffer[i] !== COLON || i === start) return badName(buffer[i] as number, i === start);
  return parseValue(fields, at, buffer, start, i, i + 1, end);
}

/**
 * The same for responses, where white space before the colon must be removed (RFC 9112 section 5.1). NAME_END is then the
 * end of the name, not the colon. Framing fields with such white space are refused: another reader may overlook them.
 */
export function parseResponseFieldLine(
  fields: Int32Array,
  at: number,
  buffer: Uint8Array,
  start: number,
  end: number,
): number {
  const lineEnd = parseFieldLine(fields, at, buffer, start, end);
  return lineEnd === BAD_NAME_SPACE ? parseSpacedLine(fields, at, buffer, start, end) : lineEnd;
}

function parseSpacedLine(
  fields: Int32Array,
  at: number,
  buffer: Uint8Array,
  start: number,
  end: number,
): number {
  let nameEnd = start;
  while (TOKEN_LOWER[buffer[nameEnd] as number] !== 0) nameEnd++;
  const colon = trimStart(buffer, nameEnd, end);
  if (colon === end) return LINE_INCOMPLETE;
  if (buffer[colon] !== COLON) return BAD_NAME_SPACE;
  const lineEnd = parseValue(fields, at, buffer, start, nameEnd, colon + 1, end);
  const id = lineEnd > LINE_INCOMPLETE ? fields[at + FIELD_ID] : undefined;
  return id === FIELD_CONTENT_LENGTH || id === FIELD_TRANSFER_ENCODING ? BAD_NAME_SPACE : lineEnd;
}

/** Reads the rest of a line, after the colon, and fills in its record. */
function parseValue(
  fields: Int32Array,
  at: number,
  buffer: Uint8Array,
  start: number,
  nameEnd: number,
  rest: number,
  end: number,
): number {
  let i = rest;
  while (i < end && (buffer[i] === SP || buffer[i] === HTAB)) i++;
  const valueStart = i;
  const lineEnd = endOfText(buffer, i, end);
  if (lineEnd <= LINE_INCOMPLETE) return lineEnd;
  let valueEnd = lineEnd - 2;
  while (valueEnd > valueStart && (buffer[valueEnd - 1] === SP || buffer[valueEnd - 1] === HTAB)) valueEnd--;
  fields[at + LINE_START] = start;
  fields[at + NAME_END] = nameEnd;
  fields[at + VALUE_START] = valueStart;
  fields[at + VALUE_END] = valueEnd;
  fields[at + LINE_END] = lineEnd;
  fields[at + FIELD_ID] = fieldId(buffer, start, nameEnd);
  return lineEnd;
}

/**
 * Skips field text (HTAB, SP, VCHAR, obs-text) up to its CRLF. Returns the offset after the LF, LINE_INCOMPLETE, or
 * a negative number for {@link lineError}.
 */
export function endOfText(buffer: Uint8Array, start: number, end: number): number {
  let i = start;
  let byte = 0;
  for (;;) {
    // Four bytes per round as long as none of them is special: a quarter faster on long values.
    const limit = Math.min(end, start + LONG_VALUE) - 3;
    while (i < limit) {
      const a = (buffer[i] as number) - SP;
      const b = (buffer[i + 1] as number) - SP;
      const c = (buffer[i + 2] as number) - SP;
      const d = (buffer[i + 3] as number) - SP;
      if ((a | b | c | d) < 0 || a === DEL - SP || b === DEL - SP || c === DEL - SP || d === DEL - SP) break;
      i += 4;
    }
    if (i >= limit) i = skipText(buffer, i, end);
    while (i < end && (byte = buffer[i] as number) >= SP && byte !== DEL) i++;
    if (i === end) return LINE_INCOMPLETE;
    if (byte !== HTAB) break;
    i++;
  }
  if (byte !== CR) return byte === LF ? BAD_LF : BAD_VALUE;
  if (i + 1 === end) return LINE_INCOMPLETE;
  return buffer[i + 1] === LF ? i + 2 : BAD_CR;
}

/** Skips text in words of four bytes, two per round, up to a word with a special byte: tokens and cookies are long. */
function skipText(buffer: Uint8Array, start: number, end: number): number {
  const view = viewOf(buffer);
  const offset = buffer.byteOffset;
  const last = offset + end - 8;
  let at = offset + start;
  for (; at <= last; at += 8) {
    const a = view.getInt32(at, true);
    const b = view.getInt32(at + 4, true);
    const dela = a ^ DELS;
    const delb = b ^ DELS;
    // The highest bit of a byte is set if the byte is less than SP, or DEL. It isn't set for bytes above 127.
    const below = ((a - SPS) & ~a) | ((b - SPS) & ~b);
    const del = ((dela - ONES) & ~dela) | ((delb - ONES) & ~delb);
    if (((below | del) & HIGH_BITS) !== 0) break;
  }
  return at - offset;
}

function badName(byte: number, first: boolean): number {
  if (byte === SP || byte === HTAB) return first ? BAD_FOLD : BAD_NAME_SPACE;
  if (byte === LF) return BAD_LF;
  return BAD_NAME;
}
