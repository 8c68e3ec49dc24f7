// The bytes for an HTTP/2 client whose connection is refused: they carry the reason, and tell the client that none of its
// requests was processed.

import { ENHANCE_YOUR_CALM } from "./error-codes.js";
import { FRAME_HEADER_BYTES, GOAWAY, PREFACE, SETTINGS, write32, writeFrameHeader } from "./frame.js";

/** Length of the preface's method, which no real request has (RFC 9113 section 11.4), and of the space after it. */
const METHOD_BYTES = 4;
/** Length of a GOAWAY frame's payload without its message. */
const GO_AWAY_BYTES = 8;

/** Whether a connection begins like an HTTP/2 connection. */
export function beginsHttp2(buffer: Buffer, start: number, end: number): boolean {
  return (
    end - start >= METHOD_BYTES && PREFACE.compare(buffer, start, start + METHOD_BYTES, 0, METHOD_BYTES) === 0
  );
}

/**
 * Everything that such a client is sent: SETTINGS, with which each connection begins (section 3.4), and GOAWAY for all of
 * its streams (section 6.8). `message` must be ASCII.
 */
export function refusedConnection(message: string): Buffer {
  const length = GO_AWAY_BYTES + message.length;
  const bytes = Buffer.alloc(2 * FRAME_HEADER_BYTES + length);
  let at = writeFrameHeader(bytes, 0, 0, SETTINGS, 0, 0);
  at = writeFrameHeader(bytes, at, length, GOAWAY, 0, 0);
  at = write32(bytes, write32(bytes, at, 0), ENHANCE_YOUR_CALM);
  bytes.write(message, at, "latin1");
  return bytes;
}
