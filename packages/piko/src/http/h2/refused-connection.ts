// A connection that isn't served, for an HTTP/2 client: it gets the reason, and learns that none of its requests was
// processed.

import { ENHANCE_YOUR_CALM } from "./error-codes.js";
import { FRAME_HEADER_BYTES, GOAWAY, PREFACE, SETTINGS, write32, writeFrameHeader } from "./frame.js";

/** The method of the preface, which no request has (RFC 9113 section 11.4), and the blank after it. */
const METHOD_BYTES = 4;
/** Bytes of a GOAWAY before its words. */
const GO_AWAY_BYTES = 8;

/** Whether a connection begins as one of HTTP/2 does. */
export function beginsHttp2(buffer: Buffer, start: number, end: number): boolean {
  return (
    end - start >= METHOD_BYTES && PREFACE.compare(buffer, start, start + METHOD_BYTES, 0, METHOD_BYTES) === 0
  );
}

/**
 * All that such a client is told: settings, with which each connection begins (section 3.4), and GOAWAY for all of its
 * streams (section 6.8). `message`: in ASCII.
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
