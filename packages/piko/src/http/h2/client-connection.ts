// The client's side of an HTTP/2 connection: streams that are opened here, as many as the service accepts, the heads of
// its responses, and its GOAWAY (RFC 9113 section 6.8): what the service hasn't processed can be retried.

import type { Clock, Outbox } from "@piko/tunnel";
import { ENDED } from "./closed-streams.js";
import { H2Connection } from "./connection.js";
import { CONNECTION_ERRORS } from "./connection-errors.js";
import type { ClientEvents, ClientLimits, H2Memory } from "./connection-events.js";
import * as codes from "./error-codes.js";
import type { FieldLines } from "./field-lines.js";
import { MAX_31_BITS, PREFACE } from "./frame.js";
import { clientSettings, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, settingOf } from "./settings.js";
import type { H2Stream, StreamHandler } from "./stream.js";

/** Payload of the ping that checks whether the service responds. */
const ALIVE = Buffer.from("pikoping", "latin1");

export class ClientConnection extends H2Connection {
  readonly #events: ClientEvents;
  /** Streams at a time: ours, or fewer where the service takes fewer. */
  #maxStreams: number;
  readonly #ownMaxStreams: number;
  /** The service takes no more streams, or we want none; and have said so. */
  #leaving: boolean;
  #said: boolean;

  /** Says the preface and our settings at once: nothing has to be waited for. */
  constructor(out: Outbox, limits: ClientLimits, memory: H2Memory, clock: Clock, events: ClientEvents) {
    super(out, limits, memory, clock, events);
    this.#events = events;
    this.#ownMaxStreams = limits.maxConcurrentStreams;
    this.#maxStreams = limits.maxConcurrentStreams;
    this.#leaving = false;
    this.#said = false;
    out.write(PREFACE, 0, PREFACE.length);
    this.begin(clientSettings(limits));
  }

  /** How many streams may be opened now. */
  get capacity(): number {
    if (this.failed || this.#leaving || this.streams.lastId >= MAX_31_BITS) return 0;
    return this.#maxStreams - this.streams.open.size;
  }

  /** The service speaks HTTP/2: its settings have come. */
  get ready(): boolean {
    return this.hasSettings;
  }

  /** It takes no more streams, or we want none. */
  get leaving(): boolean {
    return this.#leaving;
  }

  /** Opens a stream; its request's head is the next thing that is sent on it. */
  open(handler: StreamHandler): H2Stream {
    const { streams } = this;
    streams.lastId += streams.lastId === 0 ? 1 : 2;
    const stream = streams.add(this, streams.lastId, false);
    stream.handler = handler;
    return stream;
  }

  /** Pings the service; `onPingAnswer` follows. */
  ping(): void {
    this.sender.sendPing(ALIVE, 0, false);
  }

  /** Opens no more streams, and says so. */
  leave(): void {
    if (this.failed || this.#said) return;
    this.#leaving = true;
    this.#said = true;
    this.sender.sendGoAway(0, codes.NO_ERROR, "");
  }

  protected get lastPeerStreamId(): number {
    return 0;
  }

  protected fieldsOf(known: H2Stream | undefined): FieldLines {
    return known?.awaitsHead === false ? this.#events.trailerFields : this.#events.responseFields;
  }

  protected onFields(streamId: number, known: H2Stream | undefined): void {
    if (known === undefined) this.#onLateHeaders(streamId);
    else if (!known.awaitsHead) this.endByTrailers(known);
    else this.#onHead(known);
  }

  /** Streams above the last one that it looks at were never seen there. */
  protected override onGoAway(lastStreamId: number): void {
    this.#leaving = true;
    for (const stream of [...this.streams.open.values()]) {
      if (stream.id > lastStreamId) stream.drop(codes.REFUSED_STREAM);
    }
    this.#events.onGoAway();
  }

  protected override onPeerSettings(buffer: Buffer, start: number, end: number): void {
    if (settingOf(buffer, start, end, ENABLE_PUSH) === 1) {
      this.fail(CONNECTION_ERRORS.PUSH);
      return;
    }
    const max = settingOf(buffer, start, end, MAX_CONCURRENT_STREAMS);
    if (max >= 0) this.#maxStreams = Math.min(max, this.#ownMaxStreams);
  }

  #onHead(stream: H2Stream): void {
    const { last } = this.blocks;
    const { status } = this.#events.responseFields;
    const interim = status < 200 && status > 0;
    // They cost a service nothing and have no window.
    if (interim && !this.countControl()) return;
    if (interim && last) {
      this.streamError(stream.id, codes.PROTOCOL_ERROR);
      return;
    }
    stream.awaitsHead = interim;
    stream.receiveEnded = last;
    this.#events.onHead(stream, last);
    stream.settle();
  }

  /** A stream that was reset here may have had an answer on its way. */
  #onLateHeaders(streamId: number): void {
    if (this.streams.isIdle(streamId)) this.fail(CONNECTION_ERRORS.IDLE_STREAM);
    else if (this.streams.howEnded(streamId) === ENDED) this.fail(CONNECTION_ERRORS.CLOSED_STREAM);
  }
}
