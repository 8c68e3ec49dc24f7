// The server's side of an HTTP/2 connection: the streams that the client opens, from their first header block to their end,
// and how the client is asked to disconnect.

import type { Clock, Outbox } from "@piko/tunnel";
import { ENDED, UNKNOWN } from "./closed-streams.js";
import { H2Connection } from "./connection.js";
import { CONNECTION_ERRORS } from "./connection-errors.js";
import { type H2Limits, type H2Memory, REFILL_MS, type ServerEvents } from "./connection-events.js";
import * as codes from "./error-codes.js";
import type { FieldLines } from "./field-lines.js";
import { MAX_31_BITS, PREFACE } from "./frame.js";
import { FrameBudget } from "./frame-budget.js";
import { serverSettings } from "./settings.js";
import type { H2Stream } from "./stream.js";

/** Maximum number of requests that a connection may begin in one turn, so that other connections get their share. */
const MAX_STREAMS_PER_TURN = 128;
/** Payload of the ping that shows whether the peer has read our GOAWAY. */
const GOING_AWAY = Buffer.from("goingawy", "latin1");

const E = CONNECTION_ERRORS;

export class ServerConnection extends H2Connection {
  readonly #limits: H2Limits;
  readonly #events: ServerEvents;
  readonly #clock: Clock;
  readonly #resets: FrameBudget;
  /** Bytes of the preface that have arrived. */
  #prefaceBytes: number;
  /** Streams above this id are refused: the peer has been told so, or is about to be. */
  #finalStreamId: number;
  #goingAway: boolean;
  /** Streams opened in this turn. */
  #opened: number;

  /** Sends our settings immediately. */
  constructor(out: Outbox, limits: H2Limits, memory: H2Memory, clock: Clock, events: ServerEvents) {
    super(out, limits, memory, clock, events);
    this.#limits = limits;
    this.#events = events;
    this.#clock = clock;
    this.#resets = new FrameBudget(limits.maxResets, REFILL_MS, clock.now());
    this.#prefaceBytes = 0;
    this.#finalStreamId = MAX_31_BITS;
    this.#goingAway = false;
    this.#opened = 0;
    this.begin(serverSettings(limits));
  }

  /** Identifies what the peer has begun and has to finish: its preface, a frame, or a header block. 0 if there is nothing. */
  get debt(): number {
    if (!this.hasSettings) return -1;
    if (this.blocks.open) return -1 - this.blocks.streamId;
    return this.reader.midFrame ? this.reader.frames : 0;
  }

  /** The connection has opened its share of streams in this turn. */
  override get yields(): boolean {
    return this.#opened >= MAX_STREAMS_PER_TURN;
  }

  /** A new turn begins. */
  nextTurn(): void {
    this.#opened = 0;
  }

  override read(buffer: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && this.#prefaceBytes < PREFACE.length) {
      if (buffer[at++] === PREFACE[this.#prefaceBytes]) this.#prefaceBytes++;
      else {
        this.fail(E.PREFACE);
        return end;
      }
    }
    return super.read(buffer, at, end);
  }

  /**
   * Asks the peer to open no more streams; streams that are in transit are still accepted (section 6.8). False if the peer
   * was asked before.
   */
  goAway(): boolean {
    if (this.#goingAway || this.failed) return false;
    this.#goingAway = true;
    this.sender.sendGoAway(MAX_31_BITS, codes.NO_ERROR, "");
    this.sender.sendPing(GOING_AWAY, 0, false);
    return true;
  }

  /** Accepts no more streams. */
  finish(message: string): void {
    if (this.#finalStreamId !== MAX_31_BITS || this.failed) return;
    this.#goingAway = true;
    this.#finalStreamId = this.streams.lastId;
    this.sender.sendGoAway(this.streams.lastId, codes.NO_ERROR, message);
    if (this.streams.open.size === 0) this.#events.onIdle();
  }

  /** No more streams are accepted, and the peer has been notified. */
  get finished(): boolean {
    return this.#finalStreamId !== MAX_31_BITS;
  }

  /** Ends a stream whose request is malformed. */
  refuse(stream: H2Stream, code: number): void {
    stream.reset(code);
    this.countReset();
  }

  protected get lastPeerStreamId(): number {
    return this.streams.lastId;
  }

  protected fieldsOf(known: H2Stream | undefined): FieldLines {
    return known === undefined ? this.#events.requestFields : this.#events.trailerFields;
  }

  protected onFields(streamId: number, known: H2Stream | undefined): void {
    const { last, dependsOnItself } = this.blocks;
    if (known !== undefined) this.endByTrailers(known);
    else if (streamId <= this.streams.lastId) this.#onLateHeaders(streamId);
    else {
      this.streams.lastId = streamId;
      if (dependsOnItself) this.streamError(streamId, codes.PROTOCOL_ERROR);
      else if (streamId > this.#finalStreamId) this.sender.sendReset(streamId, codes.REFUSED_STREAM);
      else if (this.streams.open.size >= this.#limits.maxConcurrentStreams) {
        this.#events.onLimit("max_concurrent_streams");
        this.streamError(streamId, codes.REFUSED_STREAM);
      } else this.#open(streamId, last);
    }
  }

  protected override onPingAnswer(payload: Buffer, start: number, end: number): void {
    if (this.#goingAway && GOING_AWAY.equals(payload.subarray(start, end))) this.finish("");
  }

  protected override countReset(): void {
    if (this.#resets.take(this.#clock.now())) return;
    this.#events.onLimit("max_resets");
    this.fail(E.RESETS);
  }

  #open(streamId: number, last: boolean): void {
    this.#events.requestFields.finish(last);
    const stream = this.streams.add(this, streamId, last);
    this.#opened++;
    this.#events.onStream(stream, last);
  }

  #onLateHeaders(streamId: number): void {
    const how = this.streams.howEnded(streamId);
    if (how === UNKNOWN) this.fail(E.IDLE_STREAM);
    else if (how === ENDED) this.fail(E.CLOSED_STREAM);
  }
}
