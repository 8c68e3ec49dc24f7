// Byte classes and byte comparison for protocol text. Used by every parser in this folder, on bytes that were never decoded
// into a string. Files with hot loops copy the constants to local names: V8 inlines local constants, but loads an imported
// binding at every use (1.7 times slower, measured).

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const COMMA = 0x2c;
export const SLASH = 0x2f;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;
export const QUESTION_MARK = 0x3f;
export const DEL = 0x7f;

const DIGITS = "0123456789";
const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const TOKEN_CHARACTERS = `!#$%&'*+-.^_\`|~${DIGITS}${LETTERS}`;

/**
 * RFC 9110 `tchar` by byte value: 0 for a byte that can't be in a token, otherwise the byte in lower case. One lookup both
 * validates and folds.
 */
export const TOKEN_LOWER: Uint8Array = buildTokenTable();

function buildTokenTable(): Uint8Array {
  const table = new Uint8Array(256);
  for (const character of TOKEN_CHARACTERS) {
    const code = character.charCodeAt(0);
    table[code] = code;
    table[character.toUpperCase().charCodeAt(0)] = code;
  }
  return table;
}

/** Value of a hexadecimal digit by byte value, 255 for any other byte. */
export const HEX_VALUE: Uint8Array = buildHexTable();

function buildHexTable(): Uint8Array {
  const table = new Uint8Array(256).fill(255);
  for (let value = 0; value < 16; value++) {
    const digit = value.toString(16);
    table[digit.charCodeAt(0)] = value;
    table[digit.toUpperCase().charCodeAt(0)] = value;
  }
  return table;
}

/** The bytes of a text that is known to be ASCII (a constant, an address). */
export function asciiBytes(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** Folds A-Z to lower case; other bytes are unchanged. */
function asciiLower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}

/** Whether `buffer[start, end)` equals `lower`, ignoring ASCII case; `lower` must be in lower case. */
export function equalsIgnoringCase(
  buffer: Uint8Array,
  start: number,
  end: number,
  lower: Uint8Array,
): boolean {
  const length = end - start;
  if (length !== lower.length) return false;
  for (let i = 0; i < length; i++) {
    if (asciiLower(buffer[start + i] as number) !== lower[i]) return false;
  }
  return true;
}

/** Whether the bytes from `start` on are those of `text`, one byte per character. */
export function matchesAt(buffer: Uint8Array, start: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (buffer[start + i] !== text.charCodeAt(i)) return false;
  }
  return true;
}

/** Whether two ranges of one buffer are equal, ignoring ASCII case. */
export function rangesEqualIgnoringCase(
  buffer: Uint8Array,
  start: number,
  end: number,
  otherStart: number,
  otherEnd: number,
): boolean {
  const length = end - start;
  if (length !== otherEnd - otherStart) return false;
  for (let i = 0; i < length; i++) {
    if (asciiLower(buffer[start + i] as number) !== asciiLower(buffer[otherStart + i] as number))
      return false;
  }
  return true;
}

/** The end of `buffer[start, end)` without trailing SP and HTAB. */
export function trimEnd(buffer: Uint8Array, start: number, end: number): number {
  while (end > start && isBlank(buffer[end - 1] as number)) end--;
  return end;
}

/** The start of `buffer[start, end)` without leading SP and HTAB. */
export function trimStart(buffer: Uint8Array, start: number, end: number): number {
  while (start < end && isBlank(buffer[start] as number)) start++;
  return start;
}

function isBlank(byte: number): boolean {
  return byte === SP || byte === HTAB;
}
