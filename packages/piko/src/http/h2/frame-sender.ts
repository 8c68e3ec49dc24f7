// Writes the frames of one connection. Bodies are sent as far as the connection's window and the socket allow. Streams that
// have to wait take turns, one frame each, so that a long body doesn't block the others.

import type { Outbox } from "@piko/tunnel";
import type { RequestHead, ResponseHead } from "../head.js";
import type { RequestTarget } from "../request-rewrite.js";
import { encodeRequestHead, requestFieldsCapacity } from "./encode-request.js";
import {
  encodeResponseHead,
  encodeTrailers,
  responseFieldsCapacity,
  trailersCapacity,
} from "./encode-response.js";
import {
  DATA,
  FLAG_ACK,
  FLAG_END_STREAM,
  FRAME_HEADER_BYTES,
  GOAWAY,
  INITIAL_WINDOW_BYTES,
  MAX_FRAME_BYTES,
  PING,
  PING_BYTES,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
  write32,
  writeFrameHeader,
} from "./frame.js";
import type { FrameBudget } from "./frame-budget.js";
import { headerFramesCapacity, sealHeaderFrames } from "./header-frames.js";
import { NO_TABLE } from "./hpack-encoder.js";

/** A stream as the sender sees it. */
export interface WaitingStream {
  readonly id: number;
  sendWindow: number;
  readonly closed: boolean;
  /** Sends up to `maxBytes` bytes. Returns whether there are more. */
  resume(maxBytes: number): boolean;
}

export class FrameSender {
  readonly out: Outbox;
  /** The connection's window: how many bytes of bodies the peer accepts on all streams together. */
  window: number;
  /** The peer's budget of control frames; sending headers or data increases it. */
  readonly #controls: FrameBudget;
  /** Streams with queued bytes, in the order of their turns. */
  readonly #waiting: Set<WaitingStream>;
  /** No header block has been sent yet. */
  #first: boolean;

  constructor(out: Outbox, controls: FrameBudget) {
    this.out = out;
    this.window = INITIAL_WINDOW_BYTES;
    this.#controls = controls;
    this.#waiting = new Set();
    this.#first = true;
  }

  sendRequest(
    streamId: number,
    head: RequestHead,
    target: RequestTarget,
    secure: boolean,
    last: boolean,
  ): void {
    const start = this.#beginBlock(requestFieldsCapacity(head, target));
    const slab = this.out.slab as Buffer;
    const end = encodeRequestHead(head, target, secure, slab, this.#fieldsAt(slab, start));
    this.out.advance(sealHeaderFrames(slab, start, end, streamId, last));
  }

  sendHead(streamId: number, head: ResponseHead, dateLine: Buffer | undefined, last: boolean): void {
    const start = this.#beginBlock(responseFieldsCapacity(head));
    const slab = this.out.slab as Buffer;
    const end = encodeResponseHead(head, slab, this.#fieldsAt(slab, start), dateLine);
    this.out.advance(sealHeaderFrames(slab, start, end, streamId, last));
  }

  /** Ends a body with trailers. `lines`: field lines. */
  sendTrailers(streamId: number, lines: Buffer): void {
    const start = this.#beginBlock(trailersCapacity(lines));
    const slab = this.out.slab as Buffer;
    const end = encodeTrailers(lines, slab, this.#fieldsAt(slab, start));
    this.out.advance(sealHeaderFrames(slab, start, end, streamId, true));
  }

  /** Sends as much of a body as is allowed now; returns how many bytes. `last`: the body ends with them. */
  sendData(stream: WaitingStream, buffer: Buffer, start: number, end: number, last: boolean): number {
    const { out } = this;
    let at = start;
    while (at < end && !out.congested) {
      const room = Math.min(stream.sendWindow, this.window, MAX_FRAME_BYTES, end - at);
      if (room <= 0) break;
      stream.sendWindow -= room;
      this.window -= room;
      this.#controls.give(2);
      const flags = last && at + room === end ? FLAG_END_STREAM : 0;
      this.#writeHeader(room, DATA, flags, stream.id);
      out.write(buffer, at, at + room);
      at += room;
    }
    return at - start;
  }

  /** Ends a body. */
  sendEnd(streamId: number): void {
    this.#writeHeader(0, DATA, FLAG_END_STREAM, streamId);
  }

  sendReset(streamId: number, code: number): void {
    this.#write32(RST_STREAM, streamId, code);
  }

  /** Grants the peer this many more bytes; `streamId` 0 is the connection. */
  sendWindow(streamId: number, count: number): void {
    this.#write32(WINDOW_UPDATE, streamId, count);
  }

  /** `settings`: pairs of identifier and value. */
  sendSettings(settings: readonly (readonly [id: number, value: number])[]): void {
    this.#writeHeader(settings.length * 6, SETTINGS, 0, 0);
    for (const [id, value] of settings) {
      const at = this.out.take(6);
      const slab = this.out.slab as Buffer;
      slab[at] = id >>> 8;
      slab[at + 1] = id;
      write32(slab, at + 2, value);
    }
  }

  acknowledgeSettings(): void {
    this.#writeHeader(0, SETTINGS, FLAG_ACK, 0);
  }

  /** The payload is `payload[start, start + 8)`. */
  sendPing(payload: Buffer, start: number, answer: boolean): void {
    this.#writeHeader(PING_BYTES, PING, answer ? FLAG_ACK : 0, 0);
    this.out.write(payload, start, start + PING_BYTES);
  }

  /** Streams above `lastStreamId` won't be processed. `message`: debug data. */
  sendGoAway(lastStreamId: number, code: number, message: string): void {
    this.#writeHeader(8 + message.length, GOAWAY, 0, 0);
    const at = this.out.take(8);
    write32(this.out.slab as Buffer, write32(this.out.slab as Buffer, at, lastStreamId), code);
    this.out.writeLatin1(message);
  }

  /** The stream has queued bytes. */
  wait(stream: WaitingStream): void {
    this.#waiting.add(stream);
  }

  /** The stream has ended. */
  forget(stream: WaitingStream): void {
    this.#waiting.delete(stream);
  }

  /** Sends queued bytes as far as there is room. */
  pump(): void {
    const waiting = this.#waiting;
    let blocked = 0;
    // The iteration includes streams added during it: a stream gets its next turn after all others, until all are blocked.
    for (const stream of waiting) {
      if (this.window <= 0 || this.out.congested || blocked >= waiting.size) return;
      if (stream.sendWindow <= 0) {
        blocked++;
        waiting.delete(stream);
        waiting.add(stream);
        continue;
      }
      blocked = 0;
      waiting.delete(stream);
      if (stream.resume(MAX_FRAME_BYTES) && !stream.closed) waiting.add(stream);
    }
  }

  /** Reserves room for a block. Returns the offset of its first frame in the slab. */
  #beginBlock(capacity: number): number {
    this.#controls.give(2);
    return this.out.reserve(headerFramesCapacity(capacity + 1));
  }

  #fieldsAt(slab: Buffer, start: number): number {
    const at = start + FRAME_HEADER_BYTES;
    if (!this.#first) return at;
    this.#first = false;
    slab[at] = NO_TABLE;
    return at + 1;
  }

  #writeHeader(length: number, type: number, flags: number, streamId: number): void {
    const at = this.out.take(FRAME_HEADER_BYTES);
    writeFrameHeader(this.out.slab as Buffer, at, length, type, flags, streamId);
  }

  #write32(type: number, streamId: number, value: number): void {
    const at = this.out.take(FRAME_HEADER_BYTES + 4);
    const slab = this.out.slab as Buffer;
    write32(slab, writeFrameHeader(slab, at, 4, type, 0, streamId), value);
  }
}
