// The server's side of an HTTP/2 connection (RFC 9113): which frame may come when, streams from their first header block to
// their end, windows, settings, pings. It knows no sockets and no messages: bytes come in by `read`, frames go to an
// outbox, header blocks to whoever reads their fields, bodies to the streams' owners.

import type { Clock, Outbox } from "@piko/tunnel";
import type { ByteBudget } from "../../net/byte-budget.js";
import { ENDED, UNKNOWN } from "./closed-streams.js";
import { CONNECTION_ERRORS } from "./connection-errors.js";
import { type ConnectionEvents, type H2Limits, type H2Memory, REFILL_MS } from "./connection-events.js";
import { type DataConnection, DataReceiver } from "./data-receiver.js";
import * as codes from "./error-codes.js";
import type { ConnectionError } from "./error-codes.js";
import * as frames from "./frame.js";
import { FrameBudget } from "./frame-budget.js";
import { type FrameEvents, FrameReader } from "./frame-reader.js";
import { frameError } from "./frame-rules.js";
import { FrameSender } from "./frame-sender.js";
import { HeaderBlocks } from "./header-blocks.js";
import { HpackDecoder } from "./hpack-decoder.js";
import * as settings from "./settings.js";
import type { H2Stream, StreamConnection } from "./stream.js";
import { StreamTable } from "./stream-table.js";

const { FLAG_ACK, INITIAL_WINDOW_BYTES, MAX_31_BITS, PREFACE, read31 } = frames;

/** Requests that a connection may begin in one go, so that others have their turns. */
const MAX_STREAMS_PER_TURN = 128;
/** Of the ping that asks whether the peer has read that it is to go. */
const GOING_AWAY = Buffer.from("goingawy", "latin1");

const E = CONNECTION_ERRORS;

export class H2Connection implements FrameEvents, StreamConnection, DataConnection {
  readonly sender: FrameSender;
  readonly unsent: ByteBudget;
  readonly streams: StreamTable;
  readonly #limits: H2Limits;
  readonly #events: ConnectionEvents;
  readonly #clock: Clock;
  readonly #reader: FrameReader;
  readonly #data: DataReceiver;
  readonly #decoder: HpackDecoder;
  readonly #blocks: HeaderBlocks;
  readonly #controls: FrameBudget;
  readonly #resets: FrameBudget;
  /** Bytes of the preface that have come. */
  #prefaceBytes: number;
  #hasSettings: boolean;
  /** Streams above it are refused: the peer has been told, or is about to be. */
  #finalStreamId: number;
  #goingAway: boolean;
  #failed: boolean;
  /** Streams that were opened in this turn. */
  #opened: number;

  /** Says our settings at once. */
  constructor(out: Outbox, limits: H2Limits, memory: H2Memory, clock: Clock, events: ConnectionEvents) {
    this.unsent = memory.unsent;
    this.streams = new StreamTable(limits.streamWindowBytes);
    this.#data = new DataReceiver(this, limits.connectionWindowBytes);
    this.#limits = limits;
    this.#events = events;
    this.#clock = clock;
    this.#reader = new FrameReader(this, this.#data);
    this.#decoder = new HpackDecoder(limits.maxHeaderTableBytes);
    this.#blocks = new HeaderBlocks(memory.blocks, limits.maxHeaderBytes);
    this.#controls = new FrameBudget(limits.maxControlFrames, REFILL_MS, clock.now());
    this.#resets = new FrameBudget(limits.maxResets, REFILL_MS, clock.now());
    this.#prefaceBytes = 0;
    this.#hasSettings = false;
    this.#finalStreamId = MAX_31_BITS;
    this.#goingAway = false;
    this.#failed = false;
    this.#opened = 0;
    this.sender = new FrameSender(out, this.#controls);
    this.sender.sendSettings(settings.settingsOf(limits));
    const more = limits.connectionWindowBytes - INITIAL_WINDOW_BYTES;
    if (more > 0) this.sender.sendWindow(0, more);
  }

  /** What the peer has begun and has to go on with: its preface, a frame, a header block. 0 for nothing. */
  get debt(): number {
    if (!this.#hasSettings) return -1;
    if (this.#blocks.open) return -1 - this.#blocks.streamId;
    return this.#reader.midFrame ? this.#reader.frames : 0;
  }

  /** For the reader: the connection has opened its share of streams in this turn. */
  get yields(): boolean {
    return this.#opened >= MAX_STREAMS_PER_TURN;
  }

  /** The next turn. */
  nextTurn(): void {
    this.#opened = 0;
  }

  /** Reads bytes. Returns the offset of the first one that waits for the next turn. */
  read(buffer: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && this.#prefaceBytes < PREFACE.length) {
      if (buffer[at++] === PREFACE[this.#prefaceBytes]) this.#prefaceBytes++;
      else {
        this.fail(E.PREFACE);
        return end;
      }
    }
    return this.#failed ? end : this.#reader.read(buffer, at, end);
  }

  /** The socket has room: streams go on. */
  onDrain(): void {
    this.sender.pump();
    for (const stream of this.streams.open.values()) {
      if (this.sender.out.congested) return;
      if (stream.pendingBytes === 0) stream.handler.onWritable();
    }
  }

  /**
   * Asks the peer to open no more streams; those that are on their way are still taken (section 6.8). False if it was asked
   * before.
   */
  goAway(): boolean {
    if (this.#goingAway || this.#failed) return false;
    this.#goingAway = true;
    this.sender.sendGoAway(MAX_31_BITS, codes.NO_ERROR, "");
    this.sender.sendPing(GOING_AWAY, 0, false);
    return true;
  }

  /** Takes no more streams. */
  finish(message: string): void {
    if (this.#finalStreamId !== MAX_31_BITS || this.#failed) return;
    this.#goingAway = true;
    this.#finalStreamId = this.streams.lastId;
    this.sender.sendGoAway(this.streams.lastId, codes.NO_ERROR, message);
    if (this.streams.open.size === 0) this.#events.onIdle();
  }

  /** Takes no more streams: said. */
  get finished(): boolean {
    return this.#finalStreamId !== MAX_31_BITS;
  }

  /** The socket is gone. */
  close(): void {
    this.#failed = true;
    this.#reader.stop();
    this.#blocks.clear();
    this.#decoder.clear();
    for (const stream of [...this.streams.open.values()]) stream.drop();
  }

  /** Ends a stream whose request is malformed. */
  refuse(stream: H2Stream, code: number): void {
    stream.reset(code);
    this.#countReset();
  }

  // Frames.

  onFrame(type: number, flags: number, streamId: number, buffer: Buffer, start: number, end: number): void {
    const problem = this.#orderError(type, flags) ?? frameError(type, flags, streamId, end - start);
    if (problem !== undefined) {
      this.fail(problem);
      return;
    }
    if (type !== frames.HEADERS && !this.countControl()) return;
    switch (type) {
      case frames.HEADERS:
        if (!this.#blocks.begin(flags, streamId, buffer, start, end)) this.fail(E.PADDING);
        else this.#onBlock(flags, buffer, this.#blocks.start, this.#blocks.end);
        break;
      case frames.CONTINUATION:
        if (this.#blocks.streamId !== streamId || !this.#blocks.open) this.fail(E.BLOCK);
        else this.#onBlock(flags, buffer, start, end);
        break;
      case frames.PRIORITY:
        if (end - start !== frames.PRIORITY_BYTES) this.streamError(streamId, codes.FRAME_SIZE_ERROR);
        else if (read31(buffer, start) === streamId) this.streamError(streamId, codes.PROTOCOL_ERROR);
        break;
      case frames.RST_STREAM:
        if (this.streams.isIdle(streamId)) this.fail(E.IDLE_STREAM);
        else {
          this.streams.open.get(streamId)?.drop();
          this.#countReset();
        }
        break;
      case frames.SETTINGS:
        if ((flags & FLAG_ACK) !== 0) this.#decoder.settle();
        else this.#onSettings(buffer, start, end);
        break;
      case frames.PING:
        if ((flags & FLAG_ACK) === 0) this.sender.sendPing(buffer, start, true);
        else if (this.#goingAway && GOING_AWAY.equals(buffer.subarray(start, end))) this.finish("");
        break;
      case frames.WINDOW_UPDATE:
        this.#onWindowUpdate(streamId, read31(buffer, start));
        break;
    }
  }

  onFrameTooLong(): void {
    this.fail(E.SIZE);
  }

  onBadPadding(): void {
    this.fail(E.PADDING);
  }

  // Streams.

  credit(count: number): void {
    if (!this.#failed) this.#data.credit(count);
  }

  forget(stream: H2Stream, reset: boolean): void {
    this.streams.remove(stream.id, reset);
    this.sender.forget(stream);
    if (this.streams.open.size === 0 && !this.#failed) this.#events.onIdle();
  }

  #onBlock(flags: number, buffer: Buffer, start: number, end: number): void {
    const blocks = this.#blocks;
    if (!blocks.add(buffer, start, end, (flags & frames.FLAG_END_HEADERS) !== 0)) {
      this.#events.onLimit("max_header_bytes");
      this.fail(E.BLOCK_SIZE);
    } else if (!blocks.open) {
      this.#onWholeBlock(blocks.buffer, blocks.start, blocks.end);
      blocks.clear();
    }
  }

  /** Whatever becomes of the message, its fields are decoded: the table depends on them. */
  #onWholeBlock(buffer: Buffer, start: number, end: number): void {
    const { last, selfish, streamId } = this.#blocks;
    const { requestFields, trailerFields } = this.#events;
    const known = this.streams.open.get(streamId);
    const fresh = streamId > this.streams.lastId;
    const fields = known === undefined ? requestFields : trailerFields;
    fields.begin();
    if (!this.#decoder.decode(buffer, start, end, fields)) {
      this.fail(E.COMPRESSION);
      return;
    }
    if (known !== undefined) this.#onTrailers(known, last);
    else if (!fresh) this.#onLateHeaders(streamId);
    else {
      this.streams.lastId = streamId;
      if (selfish) this.streamError(streamId, codes.PROTOCOL_ERROR);
      else if (streamId > this.#finalStreamId) this.sender.sendReset(streamId, codes.REFUSED_STREAM);
      else if (this.streams.open.size >= this.#limits.maxConcurrentStreams) {
        this.#events.onLimit("max_concurrent_streams");
        this.streamError(streamId, codes.REFUSED_STREAM);
      } else this.#open(streamId, last);
    }
  }

  #open(streamId: number, last: boolean): void {
    this.#events.requestFields.finish(last);
    const stream = this.streams.add(this, streamId, last);
    this.#opened++;
    this.#events.onStream(stream, last);
  }

  #onTrailers(stream: H2Stream, last: boolean): void {
    const { trailerFields } = this.#events;
    if (stream.receiveEnded) this.streamError(stream.id, codes.STREAM_CLOSED);
    else if (!last || trailerFields.malformed !== undefined || trailerFields.tooLarge) {
      this.streamError(stream.id, codes.PROTOCOL_ERROR);
    } else {
      trailerFields.finish();
      stream.receiveEnd(trailerFields.buffer.subarray(trailerFields.start, trailerFields.end));
    }
  }

  #onLateHeaders(streamId: number): void {
    const how = this.streams.howEnded(streamId);
    if (how === UNKNOWN) this.fail(E.IDLE_STREAM);
    else if (how === ENDED) this.fail(E.CLOSED_STREAM);
  }

  #onSettings(buffer: Buffer, start: number, end: number): void {
    const problem = settings.settingsError(buffer, start, end);
    if (problem !== undefined) {
      this.fail(problem);
      return;
    }
    this.#hasSettings = true;
    const window = settings.initialWindow(buffer, start, end);
    if (window >= 0 && !this.streams.changeWindows(window)) this.fail(E.WINDOW_SIZE);
    else {
      this.sender.acknowledgeSettings();
      this.sender.pump();
    }
  }

  #onWindowUpdate(streamId: number, count: number): void {
    const stream = this.streams.open.get(streamId);
    if (streamId === 0) {
      this.sender.window += count;
      if (count === 0) this.fail(E.NO_INCREMENT);
      else if (this.sender.window > MAX_31_BITS) this.fail(E.WINDOW_SIZE);
      else this.sender.pump();
    } else if (this.streams.isIdle(streamId)) this.fail(E.IDLE_STREAM);
    else if (stream === undefined) return;
    else if (count === 0) this.streamError(streamId, codes.PROTOCOL_ERROR);
    else if (stream.sendWindow + count > MAX_31_BITS) this.streamError(streamId, codes.FLOW_CONTROL_ERROR);
    else {
      stream.sendWindow += count;
      if (stream.pendingBytes > 0) this.sender.pump();
    }
  }

  /** What comes first, and what may come within a header block. */
  #orderError(type: number, flags: number): ConnectionError | undefined {
    if (!this.#hasSettings && (type !== frames.SETTINGS || (flags & FLAG_ACK) !== 0)) return E.FIRST_FRAME;
    return this.#blocks.open && type !== frames.CONTINUATION ? E.BLOCK : undefined;
  }

  get dataRefusal(): ConnectionError | undefined {
    return this.#orderError(frames.DATA, 0);
  }

  countControl(): boolean {
    if (this.#controls.take(this.#clock.now())) return true;
    this.#events.onLimit("max_control_frames");
    this.fail(E.CONTROLS);
    return false;
  }

  /** The peer has made a mistake on one stream. That it makes us reset it counts as if it had. */
  streamError(streamId: number, code: number): void {
    const stream = this.streams.open.get(streamId);
    if (stream === undefined) {
      this.sender.sendReset(streamId, code);
      this.streams.remove(streamId, true);
    } else {
      const { handler } = stream;
      stream.reset(code);
      handler.onReset();
    }
    this.#countReset();
  }

  #countReset(): void {
    if (this.#resets.take(this.#clock.now())) return;
    this.#events.onLimit("max_resets");
    this.fail(E.RESETS);
  }

  fail(problem: ConnectionError): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#reader.stop();
    this.sender.sendGoAway(this.streams.lastId, problem.code, problem.message);
    this.#events.onFailed(problem);
  }
}
