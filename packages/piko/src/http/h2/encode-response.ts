// Encodes the head and the trailers of an HTTP/1.1 response as header blocks (RFC 9113 section 8.3.2).

import * as ascii from "../ascii.js";
import { mayHaveBody } from "../body-framing.js";
import * as names from "../field-names.js";
import { connectionNames } from "../h1/connection-options.js";
import { LINE_INCOMPLETE, parseResponseFieldLine } from "../h1/field-line.js";
import * as layout from "../head.js";
import type { ResponseHead } from "../head.js";
import { HOP_BY_HOP, NODE_RESPONSE_FIELDS } from "../hop-fields.js";
import { encodeField, encodeStatus, FIELD_EXTRA_BYTES, STATUS_BYTES } from "./hpack-encoder.js";

// Local copies: see ascii.ts.
const { asciiBytes } = ascii;
const { FIELD_ID, FIELD_STRIDE, LINE_START, NAME_END, VALUE_END, VALUE_START } = layout;

// How fields are handled, by FIELD_* number. 0 (also for names without a number): written unless Connection names the field.
const DROP = 1;
const DROP_LENGTH = 2;
const RULES: Uint8Array = new Uint8Array(names.FIELD_NAMES.length);
for (const id of [
  ...HOP_BY_HOP,
  ...NODE_RESPONSE_FIELDS,
  names.FIELD_UPGRADE,
  names.FIELD_HTTP2_SETTINGS,
  names.FIELD_SEC_WEBSOCKET_ACCEPT,
]) {
  RULES[id] = DROP;
}
RULES[names.FIELD_CONTENT_LENGTH] = DROP_LENGTH;

const DATE = asciiBytes("date");
/** Offset of the value in a whole `Date: ...\r\n` line. */
const DATE_START = 6;
const SET_COOKIE = asciiBytes("set-cookie");

/** An upper bound for what {@link encodeResponseHead} writes. */
export function responseFieldsCapacity(head: ResponseHead): number {
  return STATUS_BYTES + head.end - head.start + (head.fieldCount + 1) * FIELD_EXTRA_BYTES + DATE_BYTES;
}
const DATE_BYTES = 64;

/**
 * Writes the head at `out[at]`. A 101 is written as 200, its equivalent in HTTP/2 (RFC 8441 section 5). `dateLine`: for a
 * final response without a date. Returns the offset after the head.
 */
export function encodeResponseHead(
  head: ResponseHead,
  out: Uint8Array,
  at: number,
  dateLine: Buffer | undefined,
): number {
  const { buffer, fields, status } = head;
  const lengthless = !mayHaveBody(status) && status !== 304;
  const limit = head.fieldCount * FIELD_STRIDE;
  at = encodeStatus(out, at, status === 101 ? 200 : status);
  for (let record = 0; record < limit; record += FIELD_STRIDE) {
    const rule = RULES[fields[record + FIELD_ID] as number] as number;
    if (rule === DROP || (rule === DROP_LENGTH && lengthless)) continue;
    const nameStart = fields[record + LINE_START] as number;
    const nameEnd = fields[record + NAME_END] as number;
    if (head.connectionNamesFields && rule === 0 && connectionNames(head, nameStart, nameEnd)) continue;
    at = encodeField(
      out,
      at,
      buffer,
      nameStart,
      nameEnd,
      buffer,
      fields[record + VALUE_START] as number,
      fields[record + VALUE_END] as number,
      isSecret(buffer, nameStart, nameEnd),
    );
  }
  if (dateLine === undefined || head.hasDate || status < 200) return at;
  return encodeField(out, at, DATE, 0, DATE.length, dateLine, DATE_START, dateLine.length - 2, false);
}

/** An upper bound for what {@link encodeTrailers} writes: every line has at least four bytes. */
export function trailersCapacity(lines: Buffer): number {
  return lines.length + (lines.length / 4) * FIELD_EXTRA_BYTES;
}

/** Writes field lines that were checked before, each with its CRLF. Returns the offset after them. */
export function encodeTrailers(lines: Buffer, out: Uint8Array, at: number): number {
  const record = new Int32Array(FIELD_STRIDE);
  let start = 0;
  while (start < lines.length) {
    start = parseResponseFieldLine(record, 0, lines, start, lines.length);
    if (start <= LINE_INCOMPLETE) break;
    if (RULES[record[FIELD_ID] as number] === DROP) continue;
    at = encodeField(
      out,
      at,
      lines,
      record[LINE_START] as number,
      record[NAME_END] as number,
      lines,
      record[VALUE_START] as number,
      record[VALUE_END] as number,
      false,
    );
  }
  return at;
}

/** Secrets that an attacker who can make the service send other fields as well must not be able to guess (RFC 7541 section 7.1.3). */
function isSecret(buffer: Buffer, start: number, end: number): boolean {
  return end - start === SET_COOKIE.length && ascii.equalsIgnoringCase(buffer, start, end, SET_COOKIE);
}
