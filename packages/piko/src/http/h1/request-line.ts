// The request line: method, target in its four forms, version. Called by parse-request-head.ts.

import * as ascii from "../ascii.js";
import { asciiBytes, equalsIgnoringCase, matchesAt } from "../ascii.js";
import { isAuthority } from "../authority.js";
import { HTTP_ERRORS, type HttpError } from "../errors.js";
import { LINE_INCOMPLETE } from "./field-line.js";
import type { RequestHead } from "../head.js";

// Local copies: see ascii.ts.
const { COLON, CR, LF, QUESTION_MARK, SLASH, SP, TOKEN_LOWER } = ascii;

/** Maximum length of a method. The longest registered one has 17 bytes. */
const MAX_METHOD_BYTES = 32;

/** The line is refused; `head.error` has the reason. */
const LINE_INVALID = -1;

const HASH = 0x23;
const DEL = 0x7f;
const ASTERISK = 0x2a;
const HTTP = asciiBytes("http");
const HTTPS = asciiBytes("https");

// Followed by a digit, a dot and a digit.
const VERSION = asciiBytes("HTTP/");
const VERSION_BYTES = VERSION.length + 3;

/** Reads the line at `start` into the head. Returns the offset after its LF, LINE_INCOMPLETE or LINE_INVALID. */
export function parseRequestLine(head: RequestHead, buffer: Buffer, start: number, end: number): number {
  let i = start;
  const methodLimit = Math.min(end, start + MAX_METHOD_BYTES + 1);
  while (i < methodLimit && TOKEN_LOWER[buffer[i] as number] !== 0) i++;
  if (i === end && i - start <= MAX_METHOD_BYTES) return LINE_INCOMPLETE;
  if (i === start || buffer[i] !== SP || i - start > MAX_METHOD_BYTES)
    return invalid(head, HTTP_ERRORS.METHOD);
  head.method = methodName(buffer, start, i);
  const targetStart = ++i;
  let byte = 0;
  while (i < end && (byte = buffer[i] as number) > SP && byte < DEL && byte !== HASH) i++;
  if (i === end) return LINE_INCOMPLETE;
  if (byte !== SP || i === targetStart) return invalid(head, HTTP_ERRORS.TARGET);
  head.targetStart = targetStart;
  head.targetEnd = i;
  const error = takeTarget(head, buffer);
  if (error !== undefined) return invalid(head, error);
  return parseVersion(head, buffer, i + 1, end);
}

function parseVersion(head: RequestHead, buffer: Buffer, start: number, end: number): number {
  const available = Math.min(end - start, VERSION.length);
  for (let i = 0; i < available; i++) {
    if (buffer[start + i] !== VERSION[i]) return invalid(head, HTTP_ERRORS.VERSION);
  }
  if (end - start < VERSION_BYTES + 2) {
    // A line that has already ended stays too short, whatever follows.
    for (let i = start + available; i < end && i < start + VERSION_BYTES; i++) {
      if ((buffer[i] as number) <= SP) return invalid(head, HTTP_ERRORS.VERSION);
    }
    return LINE_INCOMPLETE;
  }
  const major = (buffer[start + 5] as number) - 0x30;
  const minor = (buffer[start + 7] as number) - 0x30;
  const after = start + VERSION_BYTES;
  if (buffer[start + 6] !== 0x2e || major < 0 || major > 9 || minor < 0 || minor > 9) {
    return invalid(head, HTTP_ERRORS.VERSION);
  }
  if (buffer[after] === LF) return invalid(head, HTTP_ERRORS.BARE_LF);
  if (buffer[after] !== CR) return invalid(head, HTTP_ERRORS.VERSION);
  if (buffer[after + 1] !== LF) return invalid(head, HTTP_ERRORS.BARE_CR);
  if (major !== 1 || minor > 1) return invalid(head, HTTP_ERRORS.VERSION_UNSUPPORTED);
  head.minorVersion = minor;
  return after + 2;
}

function takeTarget(head: RequestHead, buffer: Buffer): HttpError | undefined {
  const { targetStart, targetEnd } = head;
  if (head.method === "CONNECT") return HTTP_ERRORS.CONNECT;
  head.pathStart = targetStart;
  head.pathEnd = targetEnd;
  if (buffer[targetStart] === SLASH) return undefined;
  if (buffer[targetStart] === ASTERISK && targetEnd === targetStart + 1) {
    return head.method === "OPTIONS" ? undefined : HTTP_ERRORS.TARGET;
  }
  return takeAbsoluteTarget(head, buffer);
}

function takeAbsoluteTarget(head: RequestHead, buffer: Buffer): HttpError | undefined {
  const { targetStart, targetEnd } = head;
  let i = targetStart;
  while (i < targetEnd && buffer[i] !== COLON) i++;
  if (
    !equalsIgnoringCase(buffer, targetStart, i, HTTP) &&
    !equalsIgnoringCase(buffer, targetStart, i, HTTPS)
  ) {
    return HTTP_ERRORS.TARGET;
  }
  const authorityStart = i + 3;
  if (authorityStart >= targetEnd || buffer[i + 1] !== SLASH || buffer[i + 2] !== SLASH)
    return HTTP_ERRORS.TARGET;
  i = authorityStart;
  while (i < targetEnd && buffer[i] !== SLASH && buffer[i] !== QUESTION_MARK) i++;
  if (!isAuthority(buffer, authorityStart, i)) return HTTP_ERRORS.HOST;
  head.hostStart = authorityStart;
  head.hostEnd = i;
  head.pathStart = i;
  return undefined;
}

// Interned, so that a request allocates no string for its method.
function methodName(buffer: Buffer, start: number, end: number): string {
  switch (end - start) {
    case 3:
      if (matchesAt(buffer, start, "GET")) return "GET";
      if (matchesAt(buffer, start, "PUT")) return "PUT";
      break;
    case 4:
      if (matchesAt(buffer, start, "POST")) return "POST";
      if (matchesAt(buffer, start, "HEAD")) return "HEAD";
      break;
    case 5:
      if (matchesAt(buffer, start, "PATCH")) return "PATCH";
      break;
    case 6:
      if (matchesAt(buffer, start, "DELETE")) return "DELETE";
      break;
    case 7:
      if (matchesAt(buffer, start, "OPTIONS")) return "OPTIONS";
      break;
  }
  return buffer.toString("latin1", start, end);
}

function invalid(head: RequestHead, error: HttpError): typeof LINE_INVALID {
  head.error = error;
  return LINE_INVALID;
}
