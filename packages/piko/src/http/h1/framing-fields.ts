// Content-Length and Transfer-Encoding, where lenient parsing leads to request smuggling: only one plain number, or
// exactly `chunked`, is accepted, each at most once and never both. Called by both head parsers.

import { asciiBytes, CR, equalsIgnoringCase, HTAB } from "../ascii.js";
import { HTTP_ERRORS, type HttpError } from "../errors.js";
import type { MessageHead } from "../head.js";

const CHUNKED = asciiBytes("chunked");

// 2^53 - 1 has 16 digits. Some peers pad values with zeros, so a few more are accepted.
const MAX_DIGITS = 20;

/** Applies a Content-Length value to the head. A repeated field is refused even if its values are equal. */
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
  if (length > Number.MAX_SAFE_INTEGER || hasTrailingTab(buffer, end)) return HTTP_ERRORS.CONTENT_LENGTH;
  head.contentLength = length;
  return undefined;
}

/** Applies a Transfer-Encoding value to the head. */
export function takeTransferEncoding(
  head: MessageHead,
  buffer: Uint8Array,
  start: number,
  end: number,
): HttpError | undefined {
  if (head.chunked) return HTTP_ERRORS.TRANSFER_ENCODING_REPEATED;
  if (!equalsIgnoringCase(buffer, start, end, CHUNKED) || hasTrailingTab(buffer, end)) {
    return HTTP_ERRORS.TRANSFER_ENCODING;
  }
  head.chunked = true;
  return undefined;
}

/**
 * Whether there is a tab between the value that ends at `end` and its CR. For RFC 9110 it is white space, for Node's parser
 * and others a part of the value. No legitimate peer sends one.
 */
function hasTrailingTab(buffer: Uint8Array, end: number): boolean {
  for (let i = end; buffer[i] !== CR; i++) {
    if (buffer[i] === HTAB) return true;
  }
  return false;
}

/** Checks the rules that need the complete head. */
export function checkFraming(head: MessageHead): HttpError | undefined {
  if (!head.chunked) return undefined;
  if (head.contentLength !== -1) return HTTP_ERRORS.TRANSFER_ENCODING_AND_LENGTH;
  // RFC 9112 section 6.1: a 1.0 message with Transfer-Encoding has faulty framing, whatever its sender meant.
  if (head.minorVersion === 0) return HTTP_ERRORS.TRANSFER_ENCODING_VERSION;
  return undefined;
}
