// Finds the end of a head that arrives in pieces. The parsers start over on every call, so such a head is only parsed once
// it is complete: the cost stays linear even if a peer sends one byte at a time.

import * as ascii from "../ascii.js";
import { HTTP_ERRORS, type HttpError } from "../errors.js";

// Local copies: see ascii.ts.
const { CR, LF } = ascii;

/** Maximum number of empty lines before a request (RFC 9112 section 2.2 recommends tolerating at least one). */
export const MAX_EMPTY_LINES = 4;

/** The bytes so far don't contain a complete head. */
export const END_UNKNOWN = -1;
/** The bytes can't become a valid head; `error` has the reason. */
export const END_INVALID = -2;

/** Remembers how far a head was searched. Between calls the buffer may move or grow, but its bytes must not change. */
export class HeadEndFinder {
  /** Why the last call returned END_INVALID. */
  error: HttpError | undefined = undefined;
  /** Number of bytes searched, from the start of the head. */
  #searched = 0;
  /** Where the current line starts, relative to the start of the head. */
  #line = 0;
  /** Whether there was a non-empty line. */
  #started = false;

  /** Starts over for the next head. */
  reset(): void {
    this.error = undefined;
    this.#searched = 0;
    this.#line = 0;
    this.#started = false;
  }

  /**
   * Searches `buffer[start, end)`, where `start` is the head's first byte and `end - start` never shrinks between calls.
   * Returns the offset after the blank line, END_UNKNOWN or END_INVALID (a bare CR or LF, too many empty lines).
   */
  find(buffer: Uint8Array, start: number, end: number): number {
    let line = start + this.#line;
    let i = start + this.#searched;
    for (; i < end; i++) {
      const byte = buffer[i] as number;
      if (byte > CR) continue;
      if (byte === LF) return this.#refuse(HTTP_ERRORS.BARE_LF);
      if (byte !== CR) continue;
      if (i + 1 === end) break;
      if (buffer[i + 1] !== LF) return this.#refuse(HTTP_ERRORS.BARE_CR);
      if (i > line) this.#started = true;
      else if (this.#started) return i + 2;
      else if (i - start >= MAX_EMPTY_LINES * 2) return this.#refuse(HTTP_ERRORS.EMPTY_LINES);
      i++;
      line = i + 1;
    }
    this.#searched = i - start;
    this.#line = line - start;
    return END_UNKNOWN;
  }

  #refuse(error: HttpError): number {
    this.error = error;
    return END_INVALID;
  }
}
