// Content-Length and Transfer-Encoding, where a lenient reading becomes request smuggling: one plain number, or
// exactly `chunked`, each at most once and never both. Called by both head parsers.

import { asciiBytes, CR, equalsIgnoringCase, HTAB } from "../ascii.js";
import { HTTP_ERRORS, type HttpError } from "../errors.js";
import type { MessageHead } from "../head.js";

const CHUNKED = asciiBytes("chunked");

// 2^53 - 1 has 16 digits. Zero-padded values exist in the field, so a few more are read.
const MAX_DIGITS = 20;

/** Takes a Content-Length value into the head. A repeated field is refused even when the values agree. */
export function takeContentLength(
  head: MessageHead,
  buffer: Uint8Array,
  start: number,
  end: number,
): HttpError | undefined {
  if (head.contentLength !== -1) return HTTP_ERRORS.CONTENT_LENGTH_REPEATED;
  const digits = end - start;
  if (digits === 0 || digits > MAX_DIGITS) return HTTP_ERRORS.CONTENT_LENGTH;
  let length = 0;
  for (let i = start; i < end; i++) {
    const digit = (buffer[i] as number) - 0x30;
    if (digit < 0 || digit > 9) return HTTP_ERRORS.CONTENT_LENGTH;
    length = length * 10 + digit;
  }
  if (length > Number.MAX_SAFE_INTEGER || hasTabBehind(buffer, end)) return HTTP_ERRORS.CONTENT_LENGTH;
  head.contentLength = length;
  return undefined;
}

/** Takes a Transfer-Encoding value into the head. */
export function takeTransferEncoding(
  head: MessageHead,
  buffer: Uint8Array,
  start: number,
  end: number,
): HttpError | undefined {
  if (head.chunked) return HTTP_ERRORS.TRANSFER_ENCODING_REPEATED;
  if (!equalsIgnoringCase(buffer, start, end, CHUNKED) || hasTabBehind(buffer, end)) {
    return HTTP_ERRORS.TRANSFER_ENCODING;
  }
  head.chunked = true;
  return undefined;
}

/**
 * Whether a tab stands between the value that ends at `end` and its CR. RFC 9110 has it as white space, Node's parser and
 * others as part of the value; no honest peer sends one.
 */
function hasTabBehind(buffer: Uint8Array, end: number): boolean {
  for (let i = end; buffer[i] !== CR; i++) {
    if (buffer[i] === HTAB) return true;
  }
  return false;
}

/** The rules that need the whole head. */
export function checkFraming(head: MessageHead): HttpError | undefined {
  if (!head.chunked) return undefined;
  if (head.contentLength !== -1) return HTTP_ERRORS.TRANSFER_ENCODING_AND_LENGTH;
  // RFC 9112 6.1: a 1.0 message with Transfer-Encoding has faulty framing, whatever its sender meant.
  if (head.minorVersion === 0) return HTTP_ERRORS.TRANSFER_ENCODING_VERSION;
  return undefined;
}
