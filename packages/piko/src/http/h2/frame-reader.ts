// Splits the bytes of a connection into frames (RFC 9113 section 4.1). The payload of DATA is passed on as it arrives;
// every other frame is reported when it is complete, and copied only if it arrived in parts.

import { DATA, FLAG_PADDED, FRAME_HEADER_BYTES, MAX_FRAME_BYTES, read31 } from "./frame.js";

/** The events of DATA frames. Bytes are valid during the call. */
export interface DataEvents {
  /** A frame begins, with this many bytes of payload, padding included. */
  onDataFrame(flags: number, streamId: number, length: number): void;
  /** Bytes of the frame's data. */
  onData(buffer: Buffer, start: number, end: number): void;
  /** The frame has ended. */
  onDataEnd(): void;
}

/** The events of all other frames. Bytes are valid during the call. */
export interface FrameEvents {
  /** A complete frame that isn't DATA; its payload is `buffer[start, end)`. */
  onFrame(type: number, flags: number, streamId: number, buffer: Buffer, start: number, end: number): void;
  /** A frame exceeds the maximum length. Nothing is read after it. */
  onFrameTooLong(type: number, streamId: number): void;
  /** A DATA frame has more padding than payload, or is too short for the padding's length. Nothing is read after it. */
  onBadPadding(): void;
  /** Whether the remaining frames have to wait for another call of `read`. */
  readonly yields: boolean;
}

// What is expected next.
const HEADER = 0;
const PAYLOAD = 1;
const PAD_LENGTH = 2;
const DATA_BYTES = 3;
const PADDING = 4;
const STOPPED = 5;

export class FrameReader {
  /** Number of frames that have begun. */
  frames: number;
  readonly #events: FrameEvents;
  readonly #data: DataEvents;
  #state: number;
  /** The start of an incomplete frame: its header, and its payload unless that is data. */
  #partial: Buffer;
  #partialBytes: number;
  /** Size of `#partial` when the current part is complete. */
  #wanted: number;
  /** Remaining bytes of a DATA frame: of data, and of padding. */
  #dataBytes: number;
  #padBytes: number;

  constructor(events: FrameEvents, data: DataEvents) {
    this.frames = 0;
    this.#events = events;
    this.#data = data;
    this.#state = HEADER;
    this.#partial = EMPTY;
    this.#partialBytes = 0;
    this.#wanted = FRAME_HEADER_BYTES;
    this.#dataBytes = 0;
    this.#padBytes = 0;
  }

  /** Whether the peer has sent a part of a frame and has to send the rest. False within DATA, which may take its time. */
  get midFrame(): boolean {
    return this.#partialBytes > 0;
  }

  /** Stops reading. */
  stop(): void {
    this.#state = STOPPED;
    this.#partialBytes = 0;
    this.#partial = EMPTY;
  }

  /** Reads bytes. Returns the offset of the first one that has to wait for another call; that is `end` unless the owner yields. */
  read(buffer: Buffer, start: number, end: number): number {
    const events = this.#events;
    let at = start;
    while (at < end && !events.yields) {
      switch (this.#state) {
        case HEADER:
        case PAYLOAD:
          at = this.#partialBytes > 0 ? this.#gather(buffer, at, end) : this.#readFrame(buffer, at, end);
          break;
        case PAD_LENGTH:
          this.#takePadLength(buffer[at++] as number);
          break;
        case DATA_BYTES: {
          const stop = Math.min(end, at + this.#dataBytes);
          this.#dataBytes -= stop - at;
          const from = at;
          at = stop;
          const last = this.#dataBytes === 0;
          if (last) this.#state = this.#padBytes > 0 ? PADDING : HEADER;
          this.#data.onData(buffer, from, stop);
          if (last && this.#state === HEADER) this.#data.onDataEnd();
          break;
        }
        case PADDING: {
          const stop = Math.min(end, at + this.#padBytes);
          this.#padBytes -= stop - at;
          at = stop;
          if (this.#padBytes > 0) break;
          this.#state = HEADER;
          this.#data.onDataEnd();
          break;
        }
        default:
          return end;
      }
    }
    return at;
  }

  /** Reads a frame whose first byte is at `start`; reports it immediately if it is complete. */
  #readFrame(buffer: Buffer, start: number, end: number): number {
    this.frames++;
    if (end - start < FRAME_HEADER_BYTES) return this.#keep(buffer, start, end, FRAME_HEADER_BYTES);
    const length = lengthAt(buffer, start);
    const type = buffer[start + 3] as number;
    const payload = start + FRAME_HEADER_BYTES;
    if (length > MAX_FRAME_BYTES || type === DATA) {
      this.#begin(buffer, start);
      return payload;
    }
    if (end - payload < length) return this.#keep(buffer, start, end, FRAME_HEADER_BYTES + length);
    this.#events.onFrame(
      type,
      buffer[start + 4] as number,
      read31(buffer, start + 5),
      buffer,
      payload,
      payload + length,
    );
    return payload + length;
  }

  /** Adds bytes to a frame that arrives in parts. */
  #gather(buffer: Buffer, start: number, end: number): number {
    const stop = Math.min(end, start + this.#wanted - this.#partialBytes);
    buffer.copy(this.#partial, this.#partialBytes, start, stop);
    this.#partialBytes += stop - start;
    if (this.#partialBytes < this.#wanted) return stop;
    const partial = this.#partial;
    const length = lengthAt(partial, 0);
    const type = partial[3] as number;
    if (this.#wanted === FRAME_HEADER_BYTES && (length > MAX_FRAME_BYTES || type === DATA)) {
      this.#drop();
      this.#begin(partial, 0);
      return stop;
    }
    if (this.#wanted < FRAME_HEADER_BYTES + length) {
      this.#wanted = FRAME_HEADER_BYTES + length;
      if (partial.length < this.#wanted) {
        this.#partial = Buffer.allocUnsafeSlow(this.#wanted);
        partial.copy(this.#partial, 0, 0, this.#partialBytes);
      }
      return stop;
    }
    this.#drop();
    const flags = partial[4] as number;
    this.#events.onFrame(
      type,
      flags,
      read31(partial, 5),
      partial,
      FRAME_HEADER_BYTES,
      FRAME_HEADER_BYTES + length,
    );
    return stop;
  }

  #keep(buffer: Buffer, start: number, end: number, wanted: number): number {
    if (this.#partial.length < wanted) this.#partial = Buffer.allocUnsafeSlow(wanted);
    buffer.copy(this.#partial, 0, start, end);
    this.#partialBytes = end - start;
    this.#wanted = wanted;
    return end;
  }

  /** The frame is complete: frees its memory, so that none is held between frames. */
  #drop(): void {
    this.#partial = EMPTY;
    this.#partialBytes = 0;
    this.#wanted = FRAME_HEADER_BYTES;
  }

  /** Begins a DATA frame, or reports a frame that is too long. */
  #begin(buffer: Buffer, start: number): void {
    const length = lengthAt(buffer, start);
    const type = buffer[start + 3] as number;
    const flags = buffer[start + 4] as number;
    const streamId = read31(buffer, start + 5);
    if (length > MAX_FRAME_BYTES) {
      this.stop();
      this.#events.onFrameTooLong(type, streamId);
      return;
    }
    const padded = (flags & FLAG_PADDED) !== 0;
    this.#padBytes = 0;
    this.#dataBytes = length;
    if (padded && length === 0) {
      this.stop();
      this.#events.onBadPadding();
      return;
    }
    if (padded) this.#state = PAD_LENGTH;
    else if (length > 0) this.#state = DATA_BYTES;
    this.#data.onDataFrame(flags, streamId, length);
    if (length === 0 && this.#state === HEADER) this.#data.onDataEnd();
  }

  #takePadLength(padBytes: number): void {
    const dataBytes = this.#dataBytes - 1 - padBytes;
    if (dataBytes < 0) {
      this.stop();
      this.#events.onBadPadding();
      return;
    }
    this.#dataBytes = dataBytes;
    this.#padBytes = padBytes;
    this.#state = dataBytes > 0 ? DATA_BYTES : padBytes > 0 ? PADDING : HEADER;
    if (this.#state === HEADER) this.#data.onDataEnd();
  }
}

const EMPTY: Buffer = Buffer.alloc(0);

function lengthAt(buffer: Uint8Array, at: number): number {
  return ((buffer[at] as number) << 16) | ((buffer[at + 1] as number) << 8) | (buffer[at + 2] as number);
}
