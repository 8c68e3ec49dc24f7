// Reads yamux frames from any split of the bytes. Payloads are passed on as they arrive; only a partial header is kept. The
// receive window is checked on the header, before any payload.

import { HEADER_BYTES, TYPE_DATA } from "./frame.js";

/** How the session handles frames. */
export interface YamuxFrameHandler {
  /** A frame's header. For TYPE_DATA, `length` payload bytes follow by `onPayload`. Returning false stops the reader. */
  onFrame(version: number, type: number, flags: number, streamId: number, length: number): boolean;
  /** A piece of the current data frame's payload; `last` with its final byte. */
  onPayload(buffer: Buffer, start: number, end: number, last: boolean): void;
}

export class YamuxFrameReader {
  /** Number of frames that have begun since the counting code last set this to 0. */
  frames = 0;
  readonly #handler: YamuxFrameHandler;
  #partial: Buffer | undefined;
  #partialBytes = 0;
  #remaining = 0;
  #stopped = false;

  constructor(handler: YamuxFrameHandler) {
    this.#handler = handler;
  }

  /** Ignores everything from here on. */
  stop(): void {
    this.#stopped = true;
  }

  read(buffer: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end && !this.#stopped) {
      if (this.#remaining > 0) {
        const to = end - at < this.#remaining ? end : at + this.#remaining;
        this.#remaining -= to - at;
        this.#handler.onPayload(buffer, at, to, this.#remaining === 0);
        at = to;
      } else if (this.#partialBytes === 0 && end - at >= HEADER_BYTES) {
        this.#header(buffer, at);
        at += HEADER_BYTES;
      } else {
        this.#partial ??= Buffer.alloc(HEADER_BYTES);
        const count = Math.min(HEADER_BYTES - this.#partialBytes, end - at);
        buffer.copy(this.#partial, this.#partialBytes, at, at + count);
        this.#partialBytes += count;
        at += count;
        if (this.#partialBytes === HEADER_BYTES) {
          this.#partialBytes = 0;
          this.#header(this.#partial, 0);
        }
      }
    }
  }

  #header(b: Buffer, at: number): void {
    this.frames++;
    const type = b[at + 1] as number;
    const flags = ((b[at + 2] as number) << 8) | (b[at + 3] as number);
    const streamId = readUint32(b, at + 4);
    const length = readUint32(b, at + 8);
    if (type === TYPE_DATA) this.#remaining = length;
    if (!this.#handler.onFrame(b[at] as number, type, flags, streamId, length)) this.#stopped = true;
  }
}

function readUint32(b: Buffer, at: number): number {
  return (
    (((b[at] as number) << 24) |
      ((b[at + 1] as number) << 16) |
      ((b[at + 2] as number) << 8) |
      (b[at + 3] as number)) >>>
    0
  );
}
