// Writes the frames of a session into its outbox, where they leave together at the end of the turn.

import type { Outbox } from "../socket/outbox.js";
import type { DrainTurns } from "./drain-turns.js";
import { HEADER_BYTES, TYPE_DATA, TYPE_WINDOW_UPDATE, writeHeader } from "./frame.js";

export class YamuxFrameWriter {
  readonly #out: Outbox;
  readonly #turns: DrainTurns;

  /** `turns`: counts what streams send. */
  constructor(out: Outbox, turns: DrainTurns) {
    this.#out = out;
    this.#turns = turns;
  }

  /** Sends a frame that consists of a header only. `later`: it isn't urgent, so it may leave with the next frame. */
  sendHeader(type: number, flags: number, streamId: number, length: number, later = false): void {
    const at = later ? this.#out.takeLater(HEADER_BYTES) : this.#out.take(HEADER_BYTES);
    writeHeader(this.#out.slab as Buffer, at, type, flags, streamId, length);
  }

  /** Sends a window update, and every flag that can't be sent with data. `later`: as above. */
  sendWindowUpdate(streamId: number, flags: number, delta: number, later = false): void {
    this.sendHeader(TYPE_WINDOW_UPDATE, flags, streamId, delta, later);
  }

  sendData(streamId: number, flags: number, buffer: Buffer, start: number, end: number): void {
    this.#turns.sent(end - start);
    this.sendHeader(TYPE_DATA, flags, streamId, end - start);
    this.#out.write(buffer, start, end);
  }

  /** Sends a data frame of two pieces: `head` up to `headEnd`, and `[start, end)` of the buffer. */
  sendBoth(
    streamId: number,
    flags: number,
    head: Buffer,
    headEnd: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    const count = headEnd + end - start;
    this.#turns.sent(count);
    this.sendHeader(TYPE_DATA, flags, streamId, count);
    this.#out.write(head, 0, headEnd);
    this.#out.write(buffer, start, end);
  }

  /** Makes room for a data frame of up to `count` bytes, to be written to `slab` at the returned offset. */
  reserve(count: number): number {
    return this.#out.reserve(HEADER_BYTES + count) + HEADER_BYTES;
  }

  /** Valid between `reserve` and `commit`. */
  get slab(): Buffer {
    return this.#out.slab as Buffer;
  }

  /** Sends the reserved data frame, with the bytes that were written. */
  commit(streamId: number, flags: number, start: number, end: number): void {
    this.#turns.sent(end - start);
    writeHeader(this.slab, start - HEADER_BYTES, TYPE_DATA, flags, streamId, end - start);
    this.#out.advance(end);
  }
}
