// The yamux frame header: version(1) type(1) flags(2) stream id(4) length(4), big endian.

export const HEADER_BYTES = 12;
export const VERSION = 0;

export const TYPE_DATA = 0;
export const TYPE_WINDOW_UPDATE = 1;
export const TYPE_PING = 2;
export const TYPE_GO_AWAY = 3;

export const FLAG_SYN = 1;
export const FLAG_ACK = 2;
export const FLAG_FIN = 4;
export const FLAG_RST = 8;

export const GO_AWAY_NORMAL = 0;
export const GO_AWAY_PROTOCOL_ERROR = 1;
export const GO_AWAY_INTERNAL_ERROR = 2;

/** Receive window of a new stream, in both directions, fixed by the protocol. */
export const INITIAL_WINDOW_BYTES: number = 256 * 1024;

/** Maximum length of a data frame that we send: Go readers accept any length, but control frames shouldn't have to wait for more. */
export const MAX_DATA_BYTES: number = 64 * 1024;

export const LAST_STREAM_ID = 0xffff_fffe;

/** Streams that a peer queues before its application accepts them; further ones are answered with RST. */
export const ACCEPT_BACKLOG = 256;

/** Writes a header at `offset`, which must have HEADER_BYTES after it. */
export function writeHeader(
  buffer: Buffer,
  offset: number,
  type: number,
  flags: number,
  streamId: number,
  length: number,
): void {
  buffer[offset] = VERSION;
  buffer[offset + 1] = type;
  buffer[offset + 2] = flags >>> 8;
  buffer[offset + 3] = flags & 0xff;
  buffer[offset + 4] = streamId >>> 24;
  buffer[offset + 5] = streamId >>> 16;
  buffer[offset + 6] = streamId >>> 8;
  buffer[offset + 7] = streamId;
  buffer[offset + 8] = length >>> 24;
  buffer[offset + 9] = length >>> 16;
  buffer[offset + 10] = length >>> 8;
  buffer[offset + 11] = length;
}
