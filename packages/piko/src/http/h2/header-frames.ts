// Frames for sending a header block: the block is encoded with room for a frame header in front of it, then split in place
// into HEADERS and, if it is long, CONTINUATION frames (RFC 9113 section 6.10).

import {
  CONTINUATION,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FRAME_HEADER_BYTES,
  HEADERS,
  MAX_FRAME_BYTES,
  writeFrameHeader,
} from "./frame.js";

/** Size of a block of at most this many bytes, including the headers of its frames. */
export function headerFramesCapacity(blockBytes: number): number {
  return blockBytes + FRAME_HEADER_BYTES * (Math.floor(blockBytes / MAX_FRAME_BYTES) + 1);
}

/**
 * Turns the block that was written to `out` from `start + FRAME_HEADER_BYTES` to `end` into frames. Returns the offset after
 * the last one.
 */
export function sealHeaderFrames(
  out: Buffer,
  start: number,
  end: number,
  streamId: number,
  endStream: boolean,
): number {
  const from = start + FRAME_HEADER_BYTES;
  const more = Math.max(0, Math.ceil((end - from) / MAX_FRAME_BYTES) - 1);
  // Moves the last pieces first, to make room for the headers in front of them.
  for (let piece = more; piece > 0; piece--) {
    const pieceStart = from + piece * MAX_FRAME_BYTES;
    const pieceEnd = Math.min(end, pieceStart + MAX_FRAME_BYTES);
    const to = pieceStart + piece * FRAME_HEADER_BYTES;
    out.copyWithin(to, pieceStart, pieceEnd);
    const flags = piece === more ? FLAG_END_HEADERS : 0;
    writeFrameHeader(out, to - FRAME_HEADER_BYTES, pieceEnd - pieceStart, CONTINUATION, flags, streamId);
  }
  const flags = (more === 0 ? FLAG_END_HEADERS : 0) | (endStream ? FLAG_END_STREAM : 0);
  writeFrameHeader(out, start, Math.min(end - from, MAX_FRAME_BYTES), HEADERS, flags, streamId);
  return end + more * FRAME_HEADER_BYTES;
}
