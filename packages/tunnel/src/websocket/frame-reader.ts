// Reads RFC 6455 frames from any split of the bytes and passes on the payloads of binary messages, unmasked in place. Never
// buffers a message or data frame, only a partial header and a control frame's payload (125 bytes).

import { isUtf8 } from "node:buffer";
import { TunnelError, type TunnelErrorCode } from "../errors.js";
import {
  CLOSE_NO_STATUS,
  isValidCloseCode,
  MAX_CONTROL_PAYLOAD_BYTES,
  MAX_FRAME_HEADER_BYTES,
  OPCODE_BINARY,
  OPCODE_CLOSE,
  OPCODE_CONTINUATION,
  OPCODE_PING,
  OPCODE_PONG,
  OPCODE_TEXT,
} from "./frame.js";
import { applyMask } from "./mask.js";

/** What a frame reader reports. Any of these calls may stop the reader (`stop()`). */
export interface FrameHandler {
  /** Payload bytes of binary messages; the boundaries of frames and messages have no meaning. */
  onPayload(buffer: Buffer, start: number, end: number): void;
  onPing(payload: Buffer): void;
  onPong(payload: Buffer): void;
  /** A Close frame; `code` is CLOSE_NO_STATUS if it had none. Nothing is read after it. */
  onCloseFrame(code: number, reason: string): void;
  /** The peer violated the protocol; nothing is read from here on. */
  onBadFrame(error: TunnelError): void;
}

export class FrameReader {
  /** Number of frames that have ended since the counting code last set this to 0. */
  frames = 0;
  readonly #handler: FrameHandler;
  /** Servers read masked frames, clients unmasked ones; the opposite is an error (section 5.1). */
  readonly #expectMasked: boolean;
  #header: Buffer | undefined;
  #headerBytes = 0;
  #opcode = 0;
  #final = true;
  #inMessage = false;
  #inPayload = false;
  #remaining = 0;
  #key = 0;
  #phase = 0;
  #control: Buffer | undefined;
  #controlBytes = 0;
  #stopped = false;

  constructor(expectMasked: boolean, handler: FrameHandler) {
    this.#expectMasked = expectMasked;
    this.#handler = handler;
  }

  /** Ignores everything from here on. */
  stop(): void {
    this.#stopped = true;
  }

  /** Reads what has arrived; unmasks inside `buffer`. */
  read(buffer: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end && !this.#stopped) {
      if (!this.#inPayload) {
        at = this.#readHeader(buffer, at, end);
        if (at < 0) return;
        if (this.#inPayload && this.#remaining === 0) this.#endFrame();
        continue;
      }
      const count = Math.min(end - at, this.#remaining);
      const to = at + count;
      applyMask(buffer, at, to, this.#key, this.#phase);
      this.#phase = (this.#phase + count) & 3;
      this.#remaining -= count;
      if (this.#opcode >= OPCODE_CLOSE) this.#keepControl(buffer, at, to);
      else this.#handler.onPayload(buffer, at, to);
      at = to;
      if (this.#remaining === 0) this.#endFrame();
    }
  }

  /** Returns where the payload starts, `end` if the header continues in the next read, or -1 after an error. */
  #readHeader(buffer: Buffer, start: number, end: number): number {
    if (this.#headerBytes === 0 && end - start >= MAX_FRAME_HEADER_BYTES) {
      return this.#parseHeader(buffer, start) ? start + headerLength(buffer, start) : -1;
    }
    // A header in parts, or near the end of a read, is read byte by byte until it is complete.
    this.#header ??= Buffer.alloc(MAX_FRAME_HEADER_BYTES);
    const header = this.#header;
    let at = start;
    while (at < end) {
      header[this.#headerBytes++] = buffer[at++] as number;
      if (this.#headerBytes >= 2 && this.#headerBytes === headerLength(header, 0)) {
        this.#headerBytes = 0;
        return this.#parseHeader(header, 0) ? at : -1;
      }
      if (this.#headerBytes === 2 && !this.#checkFirstBytes(header[0] as number, header[1] as number))
        return -1;
    }
    return at;
  }

  #parseHeader(buffer: Buffer, at: number): boolean {
    const first = buffer[at] as number;
    const second = buffer[at + 1] as number;
    if (!this.#checkFirstBytes(first, second)) return false;
    let length = second & 0x7f;
    let next = at + 2;
    if (length === 126) {
      length = ((buffer[next] as number) << 8) | (buffer[next + 1] as number);
      next += 2;
    } else if (length === 127) {
      const high = buffer.readUInt32BE(next);
      length = high * 0x1_0000_0000 + buffer.readUInt32BE(next + 4);
      next += 8;
      if (high > MAX_HIGH_LENGTH) return this.#fail("PIKO_WS_FRAME_LENGTH", "frame length above 2^53 - 1");
    }
    this.#key = this.#expectMasked ? buffer.readInt32BE(next) : 0;
    this.#phase = 0;
    this.#opcode = first & 0x0f;
    this.#final = (first & 0x80) !== 0;
    this.#remaining = length;
    this.#inPayload = true;
    this.#controlBytes = 0;
    return true;
  }

  /** Checks everything that the first two bytes can violate, before the rest of the header has arrived. */
  #checkFirstBytes(first: number, second: number): boolean {
    const opcode = first & 0x0f;
    if ((first & 0x70) !== 0) return this.#fail("PIKO_WS_RESERVED_BITS", "reserved bits set");
    if (((second & 0x80) !== 0) !== this.#expectMasked) {
      return this.#expectMasked
        ? this.#fail("PIKO_WS_NOT_MASKED", "unmasked frame from a client")
        : this.#fail("PIKO_WS_MASKED", "masked frame from a server");
    }
    if (opcode >= OPCODE_CLOSE) {
      if (opcode > OPCODE_PONG) return this.#fail("PIKO_WS_UNKNOWN_OPCODE", `unknown opcode: ${opcode}`);
      if ((first & 0x80) === 0) return this.#fail("PIKO_WS_FRAGMENTED_CONTROL", "fragmented control frame");
      const length = second & 0x7f;
      return (
        length <= MAX_CONTROL_PAYLOAD_BYTES ||
        this.#fail("PIKO_WS_CONTROL_LENGTH", `control frame above ${MAX_CONTROL_PAYLOAD_BYTES} bytes`)
      );
    }
    if (opcode === OPCODE_CONTINUATION) {
      return this.#inMessage || this.#fail("PIKO_WS_STRAY_CONTINUATION", "continuation without a message");
    }
    if (opcode === OPCODE_TEXT) return this.#fail("PIKO_WS_TEXT_MESSAGE", "text message");
    if (opcode !== OPCODE_BINARY) return this.#fail("PIKO_WS_UNKNOWN_OPCODE", `unknown opcode: ${opcode}`);
    return (
      !this.#inMessage || this.#fail("PIKO_WS_UNFINISHED_MESSAGE", "new message inside a fragmented one")
    );
  }

  #keepControl(buffer: Buffer, start: number, end: number): void {
    this.#control ??= Buffer.alloc(MAX_CONTROL_PAYLOAD_BYTES);
    buffer.copy(this.#control, this.#controlBytes, start, end);
    this.#controlBytes += end - start;
  }

  #endFrame(): void {
    this.#inPayload = false;
    this.frames++;
    const opcode = this.#opcode;
    if (opcode < OPCODE_CLOSE) {
      this.#inMessage = !this.#final;
      return;
    }
    const payload = this.#control === undefined ? EMPTY : this.#control.subarray(0, this.#controlBytes);
    this.#controlBytes = 0;
    if (opcode === OPCODE_PING) this.#handler.onPing(payload);
    else if (opcode === OPCODE_PONG) this.#handler.onPong(payload);
    else this.#endWithClose(payload);
  }

  #endWithClose(payload: Buffer): void {
    if (payload.length === 0) {
      this.#stopped = true;
      this.#handler.onCloseFrame(CLOSE_NO_STATUS, "");
      return;
    }
    const code = payload.length === 1 ? 0 : payload.readUInt16BE(0);
    if (!isValidCloseCode(code)) {
      this.#fail("PIKO_WS_CLOSE_CODE", `close code not allowed: ${code}`);
      return;
    }
    if (!isUtf8(payload.subarray(2))) {
      this.#fail("PIKO_WS_CLOSE_REASON", "close reason is not UTF-8");
      return;
    }
    this.#stopped = true;
    this.#handler.onCloseFrame(code, payload.toString("utf8", 2));
  }

  #fail(code: TunnelErrorCode, detail: string): false {
    this.#stopped = true;
    this.#handler.onBadFrame(new TunnelError(code, `websocket: ${detail}`));
    return false;
  }
}

const EMPTY: Buffer = Buffer.alloc(0);
/** High word of 2^53 - 1: larger lengths can't be represented exactly. */
const MAX_HIGH_LENGTH = 0x1f_ffff;

/** Length of the header that starts at `at`; reads only its first two bytes. */
function headerLength(buffer: Buffer, at: number): number {
  const second = buffer[at + 1] as number;
  const length = second & 0x7f;
  return 2 + (length === 126 ? 2 : length === 127 ? 8 : 0) + ((second & 0x80) !== 0 ? 4 : 0);
}
