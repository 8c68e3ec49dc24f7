// Copies short runs of bytes into a buffer. Called by the head rewriters for every run of lines.

// Below this length, a loop is faster than a call of Buffer.copy, which costs the same for any length.
const LOOP_LIMIT = 48;

/** Copies `source[start, end)` to `out[at]`. Returns the offset after the copy. */
export function copyBytes(source: Buffer, start: number, end: number, out: Buffer, at: number): number {
  if (end - start > LOOP_LIMIT) {
    source.copy(out, at, start, end);
    return at + end - start;
  }
  for (let i = start; i < end; i++) out[at++] = source[i] as number;
  return at;
}

/** Copies all of `source` to `out[at]`. Returns the offset after the copy. */
export function copyAll(source: Buffer, out: Buffer, at: number): number {
  return copyBytes(source, 0, source.length, out, at);
}
