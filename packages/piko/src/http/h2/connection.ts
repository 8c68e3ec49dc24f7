// One side of an HTTP/2 connection (RFC 9113): the part that both sides share, which is the order of frames, header blocks,
// windows, settings, and pings. It knows no sockets and no messages: bytes come in through `read`, frames go to an outbox,
// header blocks to the reader of their fields, bodies to the streams' owners.

import type { Clock, Outbox } from "@piko/tunnel";
import type { ByteBudget } from "../../net/byte-budget.js";
import { CONNECTION_ERRORS } from "./connection-errors.js";
import {
  type ConnectionEvents,
  type ConnectionLimits,
  type H2Memory,
  REFILL_MS,
} from "./connection-events.js";
import { type DataConnection, DataReceiver } from "./data-receiver.js";
import * as codes from "./error-codes.js";
import type { ConnectionError } from "./error-codes.js";
import type { FieldLines } from "./field-lines.js";
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

const { FLAG_ACK, INITIAL_WINDOW_BYTES, MAX_31_BITS, read31 } = frames;

const E = CONNECTION_ERRORS;

export abstract class H2Connection implements FrameEvents, StreamConnection, DataConnection {
  readonly sender: FrameSender;
  readonly unsent: ByteBudget;
  readonly streams: StreamTable;
  protected readonly reader: FrameReader;
  protected readonly blocks: HeaderBlocks;
  protected hasSettings: boolean;
  protected failed: boolean;
  readonly #limits: ConnectionLimits;
  readonly #events: ConnectionEvents;
  readonly #clock: Clock;
  readonly #data: DataReceiver;
  readonly #decoder: HpackDecoder;
  readonly #controls: FrameBudget;

  constructor(
    out: Outbox,
    limits: ConnectionLimits,
    memory: H2Memory,
    clock: Clock,
    events: ConnectionEvents,
  ) {
    this.unsent = memory.unsent;
    this.streams = new StreamTable(limits.streamWindowBytes);
    this.#data = new DataReceiver(this, limits.connectionWindowBytes);
    this.#limits = limits;
    this.#events = events;
    this.#clock = clock;
    this.reader = new FrameReader(this, this.#data);
    this.#decoder = new HpackDecoder(limits.maxHeaderTableBytes);
    this.blocks = new HeaderBlocks(memory.blocks, limits.maxHeaderBytes);
    this.#controls = new FrameBudget(limits.maxControlFrames, REFILL_MS, clock.now());
    this.hasSettings = false;
    this.failed = false;
    this.sender = new FrameSender(out, this.#controls);
  }

  /** For the reader: whether the remaining bytes have to wait for another call. */
  get yields(): boolean {
    return false;
  }

  /** Reads bytes. Returns the offset of the first one that has to wait for the next turn. */
  read(buffer: Buffer, start: number, end: number): number {
    return this.failed ? end : this.reader.read(buffer, start, end);
  }

  /** The socket has room again: streams continue. */
  onDrain(): void {
    this.sender.pump();
    for (const stream of this.streams.open.values()) {
      if (this.sender.out.congested) return;
      if (!stream.closed && stream.pendingBytes === 0) stream.handler.onWritable();
    }
  }

  /** The socket is closed. */
  close(): void {
    this.failed = true;
    this.reader.stop();
    this.blocks.clear();
    this.#decoder.clear();
    for (const stream of this.streams.open.values()) stream.drop(codes.CONNECTION_GONE);
  }

  /** The peer's bytes are invalid, or it exceeds a limit: it is sent an error, and nothing more is read. */
  fail(problem: ConnectionError): void {
    if (this.failed) return;
    this.failed = true;
    this.reader.stop();
    this.sender.sendGoAway(this.lastPeerStreamId, problem.code, problem.message);
    this.#events.onFailed(problem);
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
        if (!this.blocks.begin(flags, streamId, buffer, start, end)) this.fail(E.PADDING);
        else this.#onBlock(flags, buffer, this.blocks.start, this.blocks.end);
        break;
      case frames.CONTINUATION:
        if (this.blocks.streamId !== streamId || !this.blocks.open) this.fail(E.BLOCK);
        else this.#onBlock(flags, buffer, start, end);
        break;
      case frames.PRIORITY:
        if (end - start !== frames.PRIORITY_BYTES) this.streamError(streamId, codes.FRAME_SIZE_ERROR);
        else if (read31(buffer, start) === streamId) this.streamError(streamId, codes.PROTOCOL_ERROR);
        break;
      case frames.RST_STREAM:
        if (this.streams.isIdle(streamId)) this.fail(E.IDLE_STREAM);
        else {
          this.streams.open.get(streamId)?.drop(frames.read32(buffer, start));
          this.countReset();
        }
        break;
      case frames.SETTINGS:
        if ((flags & FLAG_ACK) !== 0) this.#decoder.settle();
        else this.#onSettings(buffer, start, end);
        break;
      case frames.PING:
        if ((flags & FLAG_ACK) === 0) this.sender.sendPing(buffer, start, true);
        else this.onPingAnswer(buffer, start, end);
        break;
      case frames.GOAWAY:
        this.onGoAway(read31(buffer, start));
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
    if (!this.failed) this.#data.credit(count);
  }

  forget(stream: H2Stream, reset: boolean): void {
    this.streams.remove(stream.id, reset);
    this.sender.forget(stream);
    if (this.streams.open.size === 0 && !this.failed) this.#events.onIdle();
  }

  /** The peer made an error on one stream. Counts as a reset by the peer, because it makes us reset the stream. */
  streamError(streamId: number, code: number): void {
    const stream = this.streams.open.get(streamId);
    if (stream === undefined) {
      this.sender.sendReset(streamId, code);
      this.streams.remove(streamId, true);
    } else {
      const { handler } = stream;
      stream.reset(code);
      handler.onReset(code);
    }
    this.countReset();
  }

  countControl(): boolean {
    if (this.#controls.take(this.#clock.now())) return true;
    this.#events.onLimit("max_control_frames");
    this.fail(E.CONTROLS);
    return false;
  }

  get dataRefusal(): ConnectionError | undefined {
    return this.#orderError(frames.DATA, 0);
  }

  // What each side does differently.

  /** The peer's last stream that we have processed. */
  protected abstract get lastPeerStreamId(): number;

  /** Where the fields of a block are read to. `known`: the block's stream, if it is open. */
  protected abstract fieldsOf(known: H2Stream | undefined): FieldLines;

  /** A block is complete; its fields are in the object that `fieldsOf` returned. `known`: as in `fieldsOf`. */
  protected abstract onFields(streamId: number, known: H2Stream | undefined): void;

  /** A stream was reset by the peer, or because of an error of the peer. */
  protected countReset(): void {}

  protected onPingAnswer(_payload: Buffer, _start: number, _end: number): void {}

  /** The peer won't process streams of ours above this one. */
  protected onGoAway(_lastStreamId: number): void {}

  /** The peer's settings have arrived, and are valid. */
  protected onPeerSettings(_buffer: Buffer, _start: number, _end: number): void {}

  /** Sends our settings and the connection's window, before anything else. */
  protected begin(pairs: readonly (readonly [id: number, value: number])[]): void {
    this.sender.sendSettings(pairs);
    const more = this.#limits.connectionWindowBytes - INITIAL_WINDOW_BYTES;
    if (more > 0) this.sender.sendWindow(0, more);
  }

  /** The fields after a body have arrived. */
  protected endByTrailers(stream: H2Stream): void {
    const { trailerFields } = this.#events;
    if (stream.receiveEnded) this.streamError(stream.id, codes.STREAM_CLOSED);
    else if (!this.blocks.last || trailerFields.malformed !== undefined || trailerFields.tooLarge) {
      this.streamError(stream.id, codes.PROTOCOL_ERROR);
    } else {
      trailerFields.finish();
      stream.receiveEnd(trailerFields.buffer.subarray(trailerFields.start, trailerFields.end));
    }
  }

  #onBlock(flags: number, buffer: Buffer, start: number, end: number): void {
    const { blocks } = this;
    if (!blocks.add(buffer, start, end, (flags & frames.FLAG_END_HEADERS) !== 0)) {
      this.#events.onLimit("max_header_bytes");
      this.fail(E.BLOCK_SIZE);
    } else if (!blocks.open) {
      this.#onWholeBlock(blocks.buffer, blocks.start, blocks.end);
      blocks.clear();
    }
  }

  /** Decodes the fields even if the message is refused: the dynamic table depends on them. */
  #onWholeBlock(buffer: Buffer, start: number, end: number): void {
    const { streamId } = this.blocks;
    const known = this.streams.open.get(streamId);
    const fields = this.fieldsOf(known);
    fields.begin();
    if (this.#decoder.decode(buffer, start, end, fields)) this.onFields(streamId, known);
    else this.fail(E.COMPRESSION);
  }

  #onSettings(buffer: Buffer, start: number, end: number): void {
    const problem = settings.settingsError(buffer, start, end);
    if (problem !== undefined) {
      this.fail(problem);
      return;
    }
    this.hasSettings = true;
    const window = settings.settingOf(buffer, start, end, settings.INITIAL_WINDOW_SIZE);
    if (window >= 0 && !this.streams.changeWindows(window)) {
      this.fail(E.WINDOW_SIZE);
      return;
    }
    this.sender.acknowledgeSettings();
    this.onPeerSettings(buffer, start, end);
    if (!this.failed) this.sender.pump();
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

  /** The first frame must be SETTINGS, and within a header block only CONTINUATION is allowed. */
  #orderError(type: number, flags: number): ConnectionError | undefined {
    if (!this.hasSettings && (type !== frames.SETTINGS || (flags & FLAG_ACK) !== 0)) return E.FIRST_FRAME;
    return this.blocks.open && type !== frames.CONTINUATION ? E.BLOCK : undefined;
  }
}
