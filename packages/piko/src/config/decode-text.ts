// Decodes the bytes of a configuration file: UTF-8, or UTF-16 as written by PowerShell's `>` (YAML 1.2.2, 5.2). Invalid text is
// rejected with its position and never replaced: a token with a replaced character is a different token.

/** The error for a file that isn't text, with the position. */
export class TextError extends Error {
  readonly code = "PIKO_CONFIG_NOT_TEXT";
  /** Line and column count from 1. */
  readonly line: number;
  readonly column: number;

  constructor(message: string, before: string) {
    super(message);
    this.name = "TextError";
    const lineStart = before.lastIndexOf("\n") + 1;
    this.line = before.split("\n").length;
    this.column = before.length - lineStart + 1;
  }
}

type Encoding = "utf-8" | "utf-16le" | "utf-16be";
const NAMES = { "utf-8": "UTF-8", "utf-16le": "UTF-16", "utf-16be": "UTF-16" } as const;

/**
 * Returns the text without its byte order mark.
 *
 * @throws TextError
 */
export function decodeText(bytes: Buffer): string {
  const encoding = findEncoding(bytes);
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw findInvalidText(bytes, encoding);
  }
}

/** By the byte order mark, or by the position of zeros in the first character, which is ASCII in YAML. */
function findEncoding(bytes: Buffer): Encoding {
  const [a, b, c, d] = bytes;
  const is32Be = a === 0 && b === 0 && ((c === 0xfe && d === 0xff) || (c === 0 && d !== undefined));
  const is32Le = c === 0 && d === 0 && ((a === 0xff && b === 0xfe) || b === 0);
  if (is32Be || is32Le)
    throw new TextError("the file is UTF-32, which isn't supported: save it as UTF-8", "");
  if ((a === 0xfe && b === 0xff) || (a === 0 && b !== undefined)) return "utf-16be";
  if ((a === 0xff && b === 0xfe) || (a !== undefined && b === 0)) return "utf-16le";
  return "utf-8";
}

/** Finds the position byte by byte, because the decoder doesn't report it. */
function findInvalidText(bytes: Buffer, encoding: Encoding): TextError {
  const decoder = new TextDecoder(encoding, { fatal: true });
  const name = NAMES[encoding];
  let before = "";
  let start = 0;
  for (const offset of bytes.keys()) {
    try {
      const text = decoder.decode(bytes.subarray(offset, offset + 1), { stream: true });
      before += text;
      if (text !== "") start = offset + 1;
    } catch {
      const hex = (bytes[start] ?? 0).toString(16).toUpperCase().padStart(2, "0");
      return new TextError(`byte 0x${hex} isn't ${name}: save the file as UTF-8`, before);
    }
  }
  return new TextError(`the file ends in the middle of a ${name} character`, before);
}
