// One request on a stream of an agent's tunnel, as an HTTP/1.1 message. An exchange has one such object for all the
// streams that it opens.

import { MAX_DATA_BYTES, type StreamHandler, type YamuxStream } from "@piko/tunnel";
import { REASONS, type Reason } from "../../http/reasons.js";
import type { Trailers } from "../../http/exchange/client-side.js";
import type { Seen, UpstreamCall, UpstreamEvents } from "../../http/exchange/upstream-call.js";
import type { RequestHead, ResponseHead } from "../../http/head.js";
import { requestHeadCapacity, writeRequestHead } from "../../http/h1/rewrite-request-head.js";
import {
  type ResponseEvents,
  ResponseReader,
  type ResponseReaderLimits,
} from "../../http/h1/response-reader.js";
import { CHUNK_FRAMING_BYTES, writeBody, writeChunk, writeLastChunk } from "../../http/h1/write-body.js";
import type { RequestRewrite } from "../../http/request-rewrite.js";
import { Scratch } from "../../net/scratch.js";
import { StreamSender } from "../../net/stream-sender.js";

/** Handles a stream whose call has ended: ignores further events. */
const FINISHED: StreamHandler = { onData() {}, onEnd() {}, onWritable() {}, onReset() {} };

/** Maximum bytes of a chunk, which fill one frame together with the chunk's framing. */
const MAX_CHUNK_BYTES = MAX_DATA_BYTES - CHUNK_FRAMING_BYTES;

/** Memory for a request head that its stream has no room for; shared by all calls, used only within one call of `send`. */
const scratch = new Scratch();

export class TunnelCall implements UpstreamCall, StreamHandler, ResponseEvents {
  halfClose: boolean;
  readonly #events: UpstreamEvents;
  readonly #reader: ResponseReader;
  /** Queues bytes that the stream had no room for. */
  readonly #sender: StreamSender;
  #stream: YamuxStream | undefined;
  #chunked: boolean;
  /** Whether the raw direction ends after the queued bytes. */
  #ending: boolean;

  constructor(events: UpstreamEvents, limits: ResponseReaderLimits) {
    this.halfClose = false;
    this.#events = events;
    this.#reader = new ResponseReader(this, limits);
    this.#sender = new StreamSender(limits.budget);
    this.#stream = undefined;
    this.#chunked = false;
    this.#ending = false;
  }

  /** Prepares the next request, on a stream whose handler is this object. `halfClose`: its agent is one of ours. */
  open(stream: YamuxStream, halfClose: boolean): void {
    this.#stream = stream;
    this.halfClose = halfClose;
    this.#ending = false;
  }

  get congested(): boolean {
    return this.#sender.blocked;
  }

  get connecting(): boolean {
    return false;
  }

  /** Whether the agent may have the request: not if nothing was sent yet, certainly if it has accepted the stream. */
  get seen(): Seen {
    const stream = this.#stream;
    if (stream?.unacknowledged === false && !stream.unsent) return "answered";
    return stream?.unsent === true ? "no" : "maybe";
  }

  /** Whether part of a response has arrived. */
  get begun(): boolean {
    return this.#reader.begun;
  }

  /** Gives up the request because the agent is silent and the request can go elsewhere. */
  giveUp(): void {
    this.#lose(REASONS.silent, this.#stream?.unsent === true);
  }

  send(head: RequestHead, rewrite: RequestRewrite, last: boolean): void {
    this.#chunked = head.chunked && !last;
    this.#reader.begin(head.method);
    const stream = this.#stream as YamuxStream;
    const capacity = requestHeadCapacity(head, rewrite);
    const start = stream.reserve(capacity);
    if (start < 0) {
      const buffer = scratch.take(capacity);
      this.#send(buffer, 0, writeRequestHead(head, buffer, 0, rewrite));
    } else stream.commit(start, writeRequestHead(head, stream.slab, start, rewrite));
  }

  write(buffer: Buffer, start: number, end: number): void {
    if (!this.#chunked) {
      this.#send(buffer, start, end);
      return;
    }
    for (let from = start; from < end; from += MAX_CHUNK_BYTES) {
      this.#writeChunk(buffer, from, Math.min(end, from + MAX_CHUNK_BYTES));
    }
  }

  end(trailers: Trailers | undefined): void {
    if (this.#chunked) {
      this.#chunked = false;
      writeLastChunk(this.#sink, trailers);
    } else if (this.#reader.raw) {
      if (this.congested) this.#ending = true;
      else this.#stream?.end();
    }
  }

  consume(count: number): void {
    this.#stream?.consume(count);
  }

  abort(_why: Reason): void {
    this.#detach()?.reset();
  }

  release(): void {
    // The FIN may be sent later: the response is already complete.
    this.#detach()?.end(true);
  }

  onData(buffer: Buffer, start: number, end: number): void {
    const stream = this.#stream;
    const passedOn = this.#reader.read(buffer, start, end);
    if (stream !== this.#stream) return;
    stream?.consume(end - start - passedOn);
    this.#events.onUpstreamTurn();
  }

  onEnd(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    if (!this.halfClose && this.#reader.raw) {
      // A Go agent has closed both directions and reads no more: drops queued bytes.
      this.#sender.clear();
      stream.end();
    }
    if (!this.#reader.finish()) this.#lose(this.#reader.awaitingHead ? REASONS.lost : REASONS.cut, false);
  }

  onWritable(): void {
    const stream = this.#stream;
    if (stream === undefined || !this.congested) return;
    this.#sender.resume(stream);
    if (this.congested) return;
    if (this.#ending) stream.end();
    this.#events.onUpstreamWritable();
  }

  onReset(): void {
    const stream = this.#stream;
    const why = stream?.refused === true ? REASONS.refused : REASONS.reset;
    this.#lose(stream?.lostWithSession === true ? REASONS.tunnel_lost : why, stream?.refused === true);
  }

  // Events of the reader, passed on unchanged except for invalid responses.

  onInform(head: ResponseHead): void {
    this.#events.onInform(head);
  }

  onSwitch(head: ResponseHead): boolean {
    return this.#events.onSwitch(head);
  }

  onResponse(head: ResponseHead, last: boolean): void {
    this.#events.onResponse(head, last);
  }

  onResponseBody(buffer: Buffer, start: number, end: number): void {
    this.#events.onResponseBody(buffer, start, end);
  }

  onResponseEnd(trailers: Trailers | undefined): void {
    this.#events.onResponseEnd(trailers);
  }

  onBadResponse(why: Reason, detail: string): void {
    this.#detach()?.reset();
    this.#events.onLost(why, "answered", detail);
  }

  readonly #sink = {
    write: (buffer: Buffer, start: number, end: number): void => this.#send(buffer, start, end),
  };

  #send(buffer: Buffer, start: number, end: number): void {
    if (this.#stream !== undefined) this.#sender.send(this.#stream, buffer, start, end);
  }

  /** Writes a chunk as one frame if there is room for all of it, so that the agent reads it at once. */
  #writeChunk(buffer: Buffer, start: number, end: number): void {
    const stream = this.#stream;
    const at = this.congested ? -1 : (stream?.reserve(CHUNK_FRAMING_BYTES + end - start) ?? -1);
    if (stream === undefined || at < 0) writeBody(this.#sink, true, buffer, start, end);
    else stream.commit(at, writeChunk(buffer, start, end, stream.slab, at));
  }

  #lose(why: Reason, refused: boolean): void {
    const { begun } = this.#reader;
    this.#detach()?.reset();
    this.#events.onLost(why, begun ? "answered" : refused ? "no" : "maybe", why.message);
  }

  #detach(): YamuxStream | undefined {
    const stream = this.#stream;
    if (stream === undefined) return undefined;
    this.#stream = undefined;
    stream.handler = FINISHED;
    this.#reader.stop();
    this.#sender.clear();
    return stream;
  }
}
