// Writes the body of a message to a receiver that accepts all bytes: unchanged, or in chunks if its length was unknown.

import { CHUNK_END, CHUNK_HEADER_BYTES, LAST_CHUNK, writeChunkHeader } from "./chunk-writer.js";
import { copyAll, copyBytes } from "./copy-bytes.js";

/** Accepts all bytes; the caller can reuse them after each call. */
export interface ByteSink {
  write(buffer: Buffer, start: number, end: number): void;
}

const line = Buffer.allocUnsafeSlow(CHUNK_HEADER_BYTES);
const LAST_LINE = Buffer.from("0\r\n", "latin1");

/** Writes a part of a body (at least 1 byte), as a separate chunk if the body is `chunked`. */
export function writeBody(
  sink: ByteSink,
  chunked: boolean,
  buffer: Buffer,
  start: number,
  end: number,
): void {
  if (!chunked) {
    sink.write(buffer, start, end);
    return;
  }
  sink.write(line, 0, writeChunkHeader(line, 0, end - start));
  sink.write(buffer, start, end);
  sink.write(CHUNK_END, 0, CHUNK_END.length);
}

/** Maximum number of bytes that a chunk has in addition to its data. */
export const CHUNK_FRAMING_BYTES: number = CHUNK_HEADER_BYTES + CHUNK_END.length;

/** Writes `[start, end)` of `buffer` (at least 1 byte) as a chunk at `out[at]`. Returns the offset after it. */
export function writeChunk(buffer: Buffer, start: number, end: number, out: Buffer, at: number): number {
  const from = writeChunkHeader(out, at, end - start);
  return copyAll(CHUNK_END, out, copyBytes(buffer, start, end, out, from));
}

/** Writes the end of a chunked body. */
export function writeLastChunk(sink: ByteSink, trailers: Buffer | undefined): void {
  if (trailers === undefined) {
    sink.write(LAST_CHUNK, 0, LAST_CHUNK.length);
    return;
  }
  sink.write(LAST_LINE, 0, LAST_LINE.length);
  sink.write(trailers, 0, trailers.length);
  sink.write(CHUNK_END, 0, CHUNK_END.length);
}
