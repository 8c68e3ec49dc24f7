// Parses a response head in one pass over its bytes, as strictly as a request head except for white space before colons.
// Called by the agent for the service's responses, and by the proxy for responses from the tunnel. A refused response
// becomes a 502.

import * as ascii from "../ascii.js";
import { CONNECTION_INVALID, LISTS_UPGRADE, parseConnection } from "./connection-options.js";
import { HTTP_ERRORS, type HttpError } from "../errors.js";
import { endOfText, LINE_INCOMPLETE, lineError, parseResponseFieldLine } from "./field-line.js";
import * as names from "../field-names.js";
import { checkFraming, takeContentLength, takeTransferEncoding } from "./framing-fields.js";
import * as layout from "../head.js";
import type { ResponseHead } from "../head.js";

// Local copies: see ascii.ts.
const { CR, LF, SP } = ascii;
const { FIELD_ID, FIELD_STRIDE, HEAD_COMPLETE, HEAD_INCOMPLETE, HEAD_INVALID, VALUE_END, VALUE_START } =
  layout;
const {
  FIELD_CONNECTION,
  FIELD_CONTENT_LENGTH,
  FIELD_DATE,
  FIELD_OTHER,
  FIELD_TRANSFER_ENCODING,
  FIELD_UPGRADE,
  FIELD_X_PIKO_REASON,
} = names;

const VERSION = Buffer.from("HTTP/1.", "latin1");
/** `HTTP/1.1 200` and the byte after it. */
const STATUS_LINE_BYTES = 13;

/**
 * Parses the response head that starts at `start` into `head`. Returns HEAD_COMPLETE, HEAD_INCOMPLETE (call again with
 * more bytes, from the same start) or HEAD_INVALID (`head.error`).
 */
export function parseResponseHead(head: ResponseHead, buffer: Buffer, start: number, end: number): number {
  head.reset(buffer, start);
  const at = parseStatusLine(head, buffer, start, end);
  if (at <= LINE_INCOMPLETE) return at === LINE_INCOMPLETE ? HEAD_INCOMPLETE : HEAD_INVALID;
  return parseFields(head, buffer, at, end);
}

function parseStatusLine(head: ResponseHead, buffer: Buffer, start: number, end: number): number {
  const available = Math.min(end - start, VERSION.length);
  for (let i = 0; i < available; i++) {
    if (buffer[start + i] !== VERSION[i]) return refuseLine(head, HTTP_ERRORS.STATUS_LINE);
  }
  if (end - start < STATUS_LINE_BYTES) {
    // A line that has already ended stays too short, whatever follows.
    for (let i = start + available; i < end && i < start + STATUS_LINE_BYTES - 1; i++) {
      if ((buffer[i] as number) < SP) return refuseLine(head, HTTP_ERRORS.STATUS_LINE);
    }
    return LINE_INCOMPLETE;
  }
  const minor = (buffer[start + 7] as number) - 0x30;
  if (minor < 0 || minor > 1 || buffer[start + 8] !== SP) return refuseLine(head, HTTP_ERRORS.STATUS_LINE);
  const hundreds = (buffer[start + 9] as number) - 0x30;
  const tens = (buffer[start + 10] as number) - 0x30;
  const ones = (buffer[start + 11] as number) - 0x30;
  if (!isDigit(hundreds) || !isDigit(tens) || !isDigit(ones))
    return refuseLine(head, HTTP_ERRORS.STATUS_LINE);
  if (hundreds === 0) return refuseLine(head, HTTP_ERRORS.STATUS);
  // HTTP/1.0 has no interim responses: a reader that mistakes this for the final one would mistake the next, too.
  if (hundreds === 1 && minor === 0) return refuseLine(head, HTTP_ERRORS.INTERIM_VERSION);
  head.minorVersion = minor;
  head.status = hundreds * 100 + tens * 10 + ones;
  // Some servers omit the space together with the reason.
  let reasonStart = start + 12;
  if (buffer[reasonStart] === SP) reasonStart++;
  else if (buffer[reasonStart] !== CR) return refuseLine(head, HTTP_ERRORS.STATUS_LINE);
  const lineEnd = endOfText(buffer, reasonStart, end);
  if (lineEnd < 0) return refuseLine(head, lineError(lineEnd));
  head.reasonStart = reasonStart;
  head.reasonEnd = lineEnd - 2;
  return lineEnd;
}

function parseFields(head: ResponseHead, buffer: Buffer, start: number, end: number): number {
  const { fields } = head;
  const limit = fields.length;
  let at = start;
  let record = 0;
  let listsUpgrade = false;
  for (;;) {
    if (at === end) return HEAD_INCOMPLETE;
    if (buffer[at] === CR) break;
    if (record === limit) return refuse(head, HTTP_ERRORS.FIELD_COUNT);
    at = parseResponseFieldLine(fields, record, buffer, at, end);
    if (at <= LINE_INCOMPLETE) {
      return at === LINE_INCOMPLETE ? HEAD_INCOMPLETE : refuse(head, lineError(at));
    }
    if (fields[record + FIELD_ID] !== FIELD_OTHER) {
      const result = takeField(head, buffer, record);
      if (result === REFUSED) return HEAD_INVALID;
      if (result === LISTS_UPGRADE) listsUpgrade = true;
    }
    record += FIELD_STRIDE;
  }
  if (at + 1 === end) return HEAD_INCOMPLETE;
  if (buffer[at + 1] !== LF) return refuse(head, HTTP_ERRORS.BARE_CR);
  head.fieldCount = record / FIELD_STRIDE;
  head.end = at + 2;
  head.upgrade = listsUpgrade && head.minorVersion === 1 && head.upgradeField !== -1;
  const error = head.chunked ? checkFraming(head) : undefined;
  return error === undefined ? HEAD_COMPLETE : refuse(head, error);
}

const REFUSED = -1;

/** Applies a field that has a number to the head. Returns 0, LISTS_UPGRADE or REFUSED. */
function takeField(head: ResponseHead, buffer: Buffer, record: number): number {
  const start = head.fields[record + VALUE_START] as number;
  const end = head.fields[record + VALUE_END] as number;
  let error: HttpError | undefined;
  switch (head.fields[record + FIELD_ID]) {
    case FIELD_CONTENT_LENGTH:
      error = takeContentLength(head, buffer, start, end);
      break;
    case FIELD_TRANSFER_ENCODING:
      error = takeTransferEncoding(head, buffer, start, end);
      break;
    case FIELD_CONNECTION: {
      const result = parseConnection(head, buffer, start, end);
      return result === CONNECTION_INVALID ? REFUSED : result;
    }
    case FIELD_UPGRADE:
      if (head.upgradeField === -1) head.upgradeField = record / FIELD_STRIDE;
      break;
    case FIELD_DATE:
      head.hasDate = true;
      break;
    case FIELD_X_PIKO_REASON:
      if (head.reasonField === -1) head.reasonField = record / FIELD_STRIDE;
      break;
  }
  if (error === undefined) return 0;
  head.error = error;
  return REFUSED;
}

function isDigit(value: number): boolean {
  return value >= 0 && value <= 9;
}

function refuse(head: ResponseHead, error: HttpError): typeof HEAD_INVALID {
  head.error = error;
  return HEAD_INVALID;
}

function refuseLine(head: ResponseHead, error: HttpError): number {
  head.error = error;
  return -1;
}
