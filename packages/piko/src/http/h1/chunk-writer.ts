// Chunked framing for bodies that arrive without it: a service sends a body until close to a client that speaks HTTP/1.1.
// Called by the agent and the proxy for each piece of such a body.

/** Maximum length of the result of {@link writeChunkHeader}. */
export const CHUNK_HEADER_BYTES = 16;
/** What follows the bytes of each chunk. */
export const CHUNK_END: Buffer = Buffer.from("\r\n", "latin1");
/** The last chunk and an empty trailer section. */
export const LAST_CHUNK: Buffer = Buffer.from("0\r\n\r\n", "latin1");

const HEX_DIGITS: Buffer = Buffer.from("0123456789abcdef", "latin1");

/** Writes the line in front of a chunk of `size` bytes (at least 1) at `out[at]`. Returns the offset after it. */
export function writeChunkHeader(out: Buffer, at: number, size: number): number {
  let digits = 1;
  for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 16)) digits++;
  let rest = size;
  for (let i = at + digits - 1; i >= at; i--) {
    out[i] = HEX_DIGITS[rest % 16] as number;
    rest = Math.floor(rest / 16);
  }
  out[at + digits] = 0x0d;
  out[at + digits + 1] = 0x0a;
  return at + digits + 2;
}
