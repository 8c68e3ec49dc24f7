// RFC 6455 section 5.2: opcodes, close codes, and frame headers as bytes.

export const OPCODE_CONTINUATION = 0x0;
export const OPCODE_TEXT = 0x1;
export const OPCODE_BINARY = 0x2;
export const OPCODE_CLOSE = 0x8;
export const OPCODE_PING = 0x9;
export const OPCODE_PONG = 0xa;

export const CLOSE_NORMAL = 1000;
export const CLOSE_PROTOCOL_ERROR = 1002;
export const CLOSE_UNSUPPORTED_DATA = 1003;
/** Never on the wire: stands for a Close frame without a code. */
export const CLOSE_NO_STATUS = 1005;
export const CLOSE_INTERNAL_ERROR = 1011;

/** Maximum size of a frame header in bytes: 2 + 8 + 4. */
export const MAX_FRAME_HEADER_BYTES = 14;
/** Maximum payload of a control frame in bytes (section 5.5). */
export const MAX_CONTROL_PAYLOAD_BYTES = 125;

/** Size of the header of a frame with this payload, in bytes. */
export function frameHeaderBytes(payloadBytes: number, masked: boolean): number {
  const length = payloadBytes < 126 ? 2 : payloadBytes < 65536 ? 4 : 10;
  return masked ? length + 4 : length;
}

/** Writes the header of an unfragmented frame at `offset`; returns the offset of the payload. `key` is undefined for unmasked frames. */
export function writeFrameHeader(
  buffer: Buffer,
  offset: number,
  opcode: number,
  payloadBytes: number,
  key: number | undefined,
): number {
  let at = offset;
  buffer[at++] = 0x80 | opcode;
  const maskBit = key === undefined ? 0 : 0x80;
  if (payloadBytes < 126) {
    buffer[at++] = maskBit | payloadBytes;
  } else if (payloadBytes < 65536) {
    buffer[at++] = maskBit | 126;
    buffer[at++] = payloadBytes >>> 8;
    buffer[at++] = payloadBytes & 0xff;
  } else {
    buffer[at++] = maskBit | 127;
    buffer.writeUInt32BE(Math.floor(payloadBytes / 0x1_0000_0000), at);
    buffer.writeUInt32BE(payloadBytes >>> 0, at + 4);
    at += 8;
  }
  if (key !== undefined) {
    buffer.writeInt32BE(key | 0, at);
    at += 4;
  }
  return at;
}

/** Whether a peer may send this code in a Close frame (RFC 6455 section 7.4, and the IANA registry's 1012 to 1014). */
export function isValidCloseCode(code: number): boolean {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006;
}
