// Parses a request head in one pass over its bytes, and refuses everything that two parsers could read differently. Called
// by the proxy for clients' requests, and by the agent for requests from the tunnel.

import * as ascii from "../ascii.js";
import { asciiBytes, equalsIgnoringCase, rangesEqualIgnoringCase, trimEnd, trimStart } from "../ascii.js";
import { isAuthority } from "../authority.js";
import { CONNECTION_INVALID, LISTS_UPGRADE, parseConnection } from "./connection-options.js";
import { HTTP_ERRORS, type HttpError } from "../errors.js";
import { LINE_INCOMPLETE, lineError, parseFieldLine } from "./field-line.js";
import * as names from "../field-names.js";
import { MAX_EMPTY_LINES } from "./find-head-end.js";
import { checkFraming, takeContentLength, takeTransferEncoding } from "./framing-fields.js";
import * as layout from "../head.js";
import type { RequestHead } from "../head.js";
import { parseRequestLine } from "./request-line.js";
import { listsHttp } from "./upgrade-protocols.js";

// Local copies: see ascii.ts.
const { COMMA, CR, LF } = ascii;
const {
  FIELD_ID,
  FIELD_REPEATED,
  FIELD_STRIDE,
  HEAD_COMPLETE,
  HEAD_INCOMPLETE,
  HEAD_INVALID,
  VALUE_END,
  VALUE_START,
} = layout;
const {
  FIELD_CONNECTION,
  FIELD_CONTENT_LENGTH,
  FIELD_EXPECT,
  FIELD_HOST,
  FIELD_OTHER,
  FIELD_TE,
  FIELD_TRACEPARENT,
  FIELD_TRACESTATE,
  FIELD_TRANSFER_ENCODING,
  FIELD_UPGRADE,
  FIELD_X_PIKO_ENDPOINT,
  FIELD_X_REQUEST_ID,
} = names;

const CONTINUE = asciiBytes("100-continue");
const TRAILERS = asciiBytes("trailers");

/**
 * Parses the request head that starts at `start` into `head`. Returns HEAD_COMPLETE, HEAD_INCOMPLETE (call again with
 * more bytes, from the same start) or HEAD_INVALID (`head.error`). A few empty lines before the request are skipped.
 */
export function parseRequestHead(head: RequestHead, buffer: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end && buffer[at] === CR) {
    if (at - start >= MAX_EMPTY_LINES * 2) return refuse(head, HTTP_ERRORS.EMPTY_LINES);
    if (at + 1 === end) return HEAD_INCOMPLETE;
    if (buffer[at + 1] !== LF) return refuse(head, HTTP_ERRORS.BARE_CR);
    at += 2;
  }
  head.reset(buffer, at);
  if (at === end) return HEAD_INCOMPLETE;
  if (buffer[at] === LF) return refuse(head, HTTP_ERRORS.BARE_LF);
  at = parseRequestLine(head, buffer, at, end);
  if (at <= LINE_INCOMPLETE) return at === LINE_INCOMPLETE ? HEAD_INCOMPLETE : HEAD_INVALID;
  return parseFields(head, buffer, at, end);
}

function parseFields(head: RequestHead, buffer: Buffer, start: number, end: number): number {
  const { fields } = head;
  const limit = fields.length;
  let at = start;
  let record = 0;
  let seen = 0;
  for (;;) {
    if (at === end) return HEAD_INCOMPLETE;
    if (buffer[at] === CR) break;
    if (record === limit) return refuse(head, HTTP_ERRORS.FIELD_COUNT);
    at = parseFieldLine(fields, record, buffer, at, end);
    if (at <= LINE_INCOMPLETE) {
      return at === LINE_INCOMPLETE ? HEAD_INCOMPLETE : refuse(head, lineError(at));
    }
    if (fields[record + FIELD_ID] !== FIELD_OTHER) {
      seen = takeField(head, buffer, record, seen);
      if (seen === REFUSED) return HEAD_INVALID;
    }
    record += FIELD_STRIDE;
  }
  if (at + 1 === end) return HEAD_INCOMPLETE;
  if (buffer[at + 1] !== LF) return refuse(head, HTTP_ERRORS.BARE_CR);
  head.fieldCount = record / FIELD_STRIDE;
  head.end = at + 2;
  const error = checkWholeHead(head, seen);
  return error === undefined ? HEAD_COMPLETE : refuse(head, error);
}

// Facts about the fields so far that aren't stored in the head.
const SEEN_HOST = 1;
const SEEN_CONNECTION_UPGRADE = 2;
const SEEN_SECOND_UPGRADE = 4;
const SEEN_BAD_EXPECT = 8;
const REFUSED = -1;

/** Applies a field that has a number to the head. Returns the new `seen`, or REFUSED. */
function takeField(head: RequestHead, buffer: Buffer, record: number, seen: number): number {
  const start = head.fields[record + VALUE_START] as number;
  const end = head.fields[record + VALUE_END] as number;
  let error: HttpError | undefined;
  switch (head.fields[record + FIELD_ID]) {
    case FIELD_HOST:
      if ((seen & SEEN_HOST) !== 0) error = HTTP_ERRORS.HOST_REPEATED;
      else error = takeHost(head, buffer, start, end);
      seen |= SEEN_HOST;
      break;
    case FIELD_CONTENT_LENGTH:
      error = takeContentLength(head, buffer, start, end);
      break;
    case FIELD_TRANSFER_ENCODING:
      error = takeTransferEncoding(head, buffer, start, end);
      break;
    case FIELD_CONNECTION: {
      const result = parseConnection(head, buffer, start, end);
      if (result === CONNECTION_INVALID) return REFUSED;
      if (result === LISTS_UPGRADE) seen |= SEEN_CONNECTION_UPGRADE;
      break;
    }
    case FIELD_UPGRADE:
      if (head.upgradeField !== -1) seen |= SEEN_SECOND_UPGRADE;
      else head.upgradeField = record / FIELD_STRIDE;
      break;
    case FIELD_EXPECT:
      // RFC 9110 section 10.1.1: HTTP/1.0 requests have no expectations.
      if (head.minorVersion === 0) break;
      if (equalsIgnoringCase(buffer, start, end, CONTINUE)) head.expectContinue = true;
      else seen |= SEEN_BAD_EXPECT;
      break;
    case FIELD_TE:
      if (listsTrailers(buffer, start, end)) head.teTrailers = true;
      break;
    case FIELD_X_PIKO_ENDPOINT:
      if (head.endpointField === -1) head.endpointField = record / FIELD_STRIDE;
      break;
    case FIELD_X_REQUEST_ID:
      if (head.requestIdField === -1) head.requestIdField = record / FIELD_STRIDE;
      break;
    case FIELD_TRACEPARENT:
      head.traceParentField = head.traceParentField === -1 ? record / FIELD_STRIDE : FIELD_REPEATED;
      break;
    case FIELD_TRACESTATE:
      if (head.traceStateField === -1) head.traceStateField = record / FIELD_STRIDE;
      break;
  }
  if (error === undefined) return seen;
  head.error = error;
  return REFUSED;
}

function takeHost(head: RequestHead, buffer: Buffer, start: number, end: number): HttpError | undefined {
  if (head.hostEnd !== 0) {
    // By RFC 9112 section 3.2.2 the target overrides Host. A peer that sends two different hosts isn't trustworthy.
    const same = rangesEqualIgnoringCase(buffer, start, end, head.hostStart, head.hostEnd);
    return same ? undefined : HTTP_ERRORS.TARGET_AUTHORITY;
  }
  if (start !== end && !isAuthority(buffer, start, end)) return HTTP_ERRORS.HOST;
  head.hostStart = start;
  head.hostEnd = end;
  return undefined;
}

function listsTrailers(buffer: Buffer, start: number, end: number): boolean {
  let i = start;
  while (i < end) {
    let next = i;
    while (next < end && buffer[next] !== COMMA) next++;
    const from = trimStart(buffer, i, next);
    if (equalsIgnoringCase(buffer, from, trimEnd(buffer, from, next), TRAILERS)) return true;
    i = next + 1;
  }
  return false;
}

function checkWholeHead(head: RequestHead, seen: number): HttpError | undefined {
  if ((seen & SEEN_HOST) === 0 && head.minorVersion === 1) return HTTP_ERRORS.HOST_MISSING;
  if (head.chunked) {
    const error = checkFraming(head);
    if (error !== undefined) return error;
  }
  // Checked last, so that a request that is also malformed gets 400.
  if ((seen & SEEN_BAD_EXPECT) !== 0) return HTTP_ERRORS.EXPECT;
  if ((seen & SEEN_CONNECTION_UPGRADE) === 0 || head.minorVersion === 0) return undefined;
  if (head.upgradeField === -1) return undefined;
  if ((seen & SEEN_SECOND_UPGRADE) !== 0) return HTTP_ERRORS.UPGRADE;
  const record = head.upgradeField * FIELD_STRIDE;
  const start = head.fields[record + VALUE_START] as number;
  const end = head.fields[record + VALUE_END] as number;
  head.upgrade = start !== end && !listsHttp(head.buffer, start, end);
  return undefined;
}

function refuse(head: RequestHead, error: HttpError): typeof HEAD_INVALID {
  head.error = error;
  return HEAD_INVALID;
}
