// The bytes of HTTP/2 frames (RFC 9113 sections 4 and 6): types, flags, headers, and complete short frames.

/** The first bytes that a client sends (section 3.4). */
export const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export const FRAME_HEADER_BYTES = 9;
/** Maximum payload length, unless SETTINGS change it; ours never do. */
export const MAX_FRAME_BYTES = 16_384;
/** Maximum stream id, and maximum size of a window. */
export const MAX_31_BITS = 0x7fff_ffff;
/** The window of streams and connections, unless their receiver changes it. */
export const INITIAL_WINDOW_BYTES = 65_535;

export const DATA = 0x0;
export const HEADERS = 0x1;
export const PRIORITY = 0x2;
export const RST_STREAM = 0x3;
export const SETTINGS = 0x4;
export const PUSH_PROMISE = 0x5;
export const PING = 0x6;
export const GOAWAY = 0x7;
export const WINDOW_UPDATE = 0x8;
export const CONTINUATION = 0x9;

export const FLAG_ACK = 0x1;
export const FLAG_END_STREAM = 0x1;
export const FLAG_END_HEADERS = 0x4;
export const FLAG_PADDED = 0x8;
export const FLAG_PRIORITY = 0x20;

/** Length of a PING's payload. */
export const PING_BYTES = 8;
/** Length of the priority fields in HEADERS and PRIORITY. */
export const PRIORITY_BYTES = 5;

/** Writes a frame header at `out[at]`. Returns the offset after it. */
export function writeFrameHeader(
  out: Uint8Array,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): number {
  out[at] = length >>> 16;
  out[at + 1] = length >>> 8;
  out[at + 2] = length;
  out[at + 3] = type;
  out[at + 4] = flags;
  return write32(out, at + 5, streamId);
}

/** Writes a 32-bit number. Returns the offset after it. */
export function write32(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
  return at + 4;
}

/** Reads a 32-bit number. */
export function read32(buffer: Uint8Array, at: number): number {
  return read31(buffer, at) + ((buffer[at] as number) >= 0x80 ? 0x8000_0000 : 0);
}

/** Reads a 31-bit number; the reserved bit before it is ignored. */
export function read31(buffer: Uint8Array, at: number): number {
  return (
    (((buffer[at] as number) & 0x7f) << 24) |
    ((buffer[at + 1] as number) << 16) |
    ((buffer[at + 2] as number) << 8) |
    (buffer[at + 3] as number)
  );
}
