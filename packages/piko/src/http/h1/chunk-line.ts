// The line in front of a chunk, read byte by byte: size, extensions, CRLF. It may be split anywhere. Called by
// body-reader.ts; most lines only need the short loop over the digits and one step for each byte of CRLF. In responses,
// the parts of a line may be surrounded by white space.

import * as ascii from "../ascii.js";
import { HTTP_ERRORS, type HttpError } from "../errors.js";

// Local copies: see ascii.ts.
const { CR, HEX_VALUE, HTAB, LF, SEMICOLON, SP, TOKEN_LOWER } = ascii;

/** Maximum number of digits of a chunk size, including leading zeros. */
const MAX_SIZE_DIGITS = 16;
/** Maximum number of bytes of all chunk extensions of one message. */
export const MAX_EXTENSION_BYTES = 4096;

/** Maximum white space in one chunk line of a response, in bytes: some servers pad sizes to a fixed width. */
export const MAX_BLANKS = 32;

/** The line continues. */
export const CHUNK_LINE_INCOMPLETE = -1;
/** The line is refused. */
export const CHUNK_LINE_INVALID = -2;

const SIZE = 0;
const SIZE_LF = 1;
const NAME_START = 2;
const NAME = 3;
const VALUE_START = 4;
const TOKEN_VALUE = 5;
const QUOTED_VALUE = 6;
const QUOTED_PAIR = 7;
/** After a value, only another extension may follow. */
const AFTER_VALUE = 8;
const AFTER_NAME = 9;
/** After the white space that follows a size. */
const AFTER_SIZE = 10;

/**
 * The state after white space: where RFC 9112 section 7.1.1 has "bad" white space, and also before the CR, where it has
 * none. Anywhere else, white space is refused, or part of a quoted value.
 */
const AFTER_BLANK: ReadonlyMap<number, number> = new Map([
  [SIZE, AFTER_SIZE],
  [AFTER_SIZE, AFTER_SIZE],
  [NAME_START, NAME_START],
  [NAME, AFTER_NAME],
  [AFTER_NAME, AFTER_NAME],
  [VALUE_START, VALUE_START],
  [TOKEN_VALUE, AFTER_VALUE],
  [AFTER_VALUE, AFTER_VALUE],
]);

const EQUALS = 0x3d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const DEL = 0x7f;

/** Reads the chunk lines of one message. */
export class ChunkLine {
  /** The size, valid after {@link ChunkLine.read} returned an offset. */
  size = 0;
  /** Why {@link ChunkLine.read} returned CHUNK_LINE_INVALID. */
  error: HttpError | undefined = undefined;
  readonly #tolerant: boolean;
  #state = SIZE;
  #digits = 0;
  #blanks = 0;
  #extensionBytes = 0;

  /** `tolerant`: white space is skipped instead of refused. */
  constructor(tolerant: boolean) {
    this.#tolerant = tolerant;
  }

  /** Starts over for the next message. */
  reset(): void {
    this.next();
    this.error = undefined;
    this.#extensionBytes = 0;
  }

  /** Starts over for the next chunk. */
  next(): void {
    this.size = 0;
    this.#state = SIZE;
    this.#digits = 0;
    this.#blanks = 0;
  }

  /** Returns the offset after the line's LF, or one of the CHUNK_LINE_* numbers. */
  read(buffer: Uint8Array, start: number, end: number): number {
    let i = start;
    if (this.#state === SIZE) {
      for (; i < end; i++) {
        const value = HEX_VALUE[buffer[i] as number] as number;
        if (value === 255) break;
        this.size = this.size * 16 + value;
        if (++this.#digits > MAX_SIZE_DIGITS) return this.#refuse(HTTP_ERRORS.CHUNK_SIZE);
      }
      if (this.size > Number.MAX_SAFE_INTEGER) return this.#refuse(HTTP_ERRORS.CHUNK_SIZE);
    }
    for (; i < end; i++) {
      const byte = buffer[i] as number;
      if (this.#state === SIZE_LF) {
        return byte === LF ? i + 1 : this.#refuse(HTTP_ERRORS.BARE_CR);
      }
      if (this.#digits === 0) return this.#refuse(HTTP_ERRORS.CHUNK_SIZE);
      const afterBlank = this.#isBlank(byte) ? AFTER_BLANK.get(this.#state) : undefined;
      if (afterBlank !== undefined) {
        if (++this.#blanks > MAX_BLANKS) return this.#refuse(HTTP_ERRORS.CHUNK_BLANKS);
        this.#state = afterBlank;
        continue;
      }
      if (this.#state === SIZE || this.#state === AFTER_SIZE) {
        if (byte === CR) this.#state = SIZE_LF;
        else if (byte === SEMICOLON) this.#state = NAME_START;
        else return this.#refuse(byte === LF ? HTTP_ERRORS.BARE_LF : HTTP_ERRORS.CHUNK_SIZE);
        continue;
      }
      if (++this.#extensionBytes > MAX_EXTENSION_BYTES) return this.#refuse(HTTP_ERRORS.CHUNK_EXTENSION_SIZE);
      const state = stateInExtension(this.#state, byte);
      if (state === -1) return this.#refuse(byte === LF ? HTTP_ERRORS.BARE_LF : HTTP_ERRORS.CHUNK_EXTENSION);
      this.#state = state;
    }
    return CHUNK_LINE_INCOMPLETE;
  }

  #isBlank(byte: number): boolean {
    return this.#tolerant && (byte === SP || byte === HTAB);
  }

  #refuse(error: HttpError): number {
    this.error = error;
    return CHUNK_LINE_INVALID;
  }
}

/** The state after one byte of an extension, or -1. White space only gets here in quoted values. */
function stateInExtension(state: number, byte: number): number {
  const isToken = TOKEN_LOWER[byte] !== 0;
  switch (state) {
    case NAME_START:
      return isToken ? NAME : -1;
    case NAME:
      if (isToken) return NAME;
      return byte === EQUALS ? VALUE_START : endOfExtension(byte);
    case AFTER_NAME:
      return byte === EQUALS ? VALUE_START : endOfExtension(byte);
    case VALUE_START:
      if (isToken) return TOKEN_VALUE;
      return byte === QUOTE ? QUOTED_VALUE : -1;
    case TOKEN_VALUE:
      return isToken ? TOKEN_VALUE : endOfExtension(byte);
    case QUOTED_VALUE:
      if (byte === QUOTE) return AFTER_VALUE;
      if (byte === BACKSLASH) return QUOTED_PAIR;
      return isQuotable(byte) ? QUOTED_VALUE : -1;
    case QUOTED_PAIR:
      return isQuotable(byte) ? QUOTED_VALUE : -1;
    default:
      return endOfExtension(byte);
  }
}

function endOfExtension(byte: number): number {
  if (byte === SEMICOLON) return NAME_START;
  return byte === CR ? SIZE_LF : -1;
}

function isQuotable(byte: number): boolean {
  return byte === HTAB || (byte >= SP && byte < DEL);
}
