// The client's side of an HTTP/2 connection: opens streams, as many as the service accepts, reads the heads of responses,
// and handles GOAWAY (RFC 9113 section 6.8): requests that the service hasn't processed can be retried.

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
  /** Maximum concurrent streams: our limit, or the service's if that is lower. */
  #maxStreams: number;
  readonly #ownMaxStreams: number;
  /** No more streams are opened: the service accepts none, or we want none. `#said`: we have sent GOAWAY. */
  #leaving: boolean;
  #said: boolean;

  /** Sends the preface and our settings immediately, without waiting for the service. */
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

  /** The service's settings have arrived: it speaks HTTP/2. */
  get ready(): boolean {
    return this.hasSettings;
  }

  /** The service accepts no more streams, or we want none. */
  get leaving(): boolean {
    return this.#leaving;
  }

  /** Opens a stream. The head of its request must be the next thing sent on the connection. */
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

  /** Opens no more streams, and announces that with GOAWAY. */
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

  /** The service has processed no stream above `lastStreamId`. */
  protected override onGoAway(lastStreamId: number): void {
    this.#leaving = true;
    for (const stream of this.streams.open.values()) {
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
    // Interim responses cost a service nothing, and no window limits them.
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

  /** The response to a stream that we reset may have been on its way. */
  #onLateHeaders(streamId: number): void {
    if (this.streams.isIdle(streamId)) this.fail(CONNECTION_ERRORS.IDLE_STREAM);
    else if (this.streams.howEnded(streamId) === ENDED) this.fail(CONNECTION_ERRORS.CLOSED_STREAM);
  }
}
