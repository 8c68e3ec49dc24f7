// A connection to an HTTP service, used for one request after another. While it carries a request, it is the call of an
// exchange; between requests, it is kept in a service pool.

import type { ByteSocket, Clock, SocketHandler } from "@piko/tunnel";
import { REASONS, type Reason } from "../http/reasons.js";
import type { Trailers } from "../http/exchange/client-side.js";
import { isIdempotent } from "../http/exchange/dispatch.js";
import type { Seen, UpstreamCall, UpstreamEvents } from "../http/exchange/upstream-call.js";
import { FIELD_KEEP_ALIVE } from "../http/field-names.js";
import { findField } from "../http/find-field.js";
import { requestHeadCapacity, writeRequestHead } from "../http/h1/rewrite-request-head.js";
import {
  type ResponseEvents,
  ResponseReader,
  type ResponseReaderLimits,
} from "../http/h1/response-reader.js";
import { writeBody, writeLastChunk } from "../http/h1/write-body.js";
import type { RequestHead, ResponseHead } from "../http/head.js";
import type { RequestRewrite } from "../http/request-rewrite.js";
import type { DeadlineSweep, Expiring } from "../net/deadline-sweep.js";
import { connectFailure, connectionFailure, type ServiceConnector } from "./connect-service.js";

/** An idle connection is closed this much earlier than the service would close it, so that no request meets its end. */
const KEEP_ALIVE_MARGIN_MS = 1_000;

/** What a connection needs from its pool. */
export interface ServiceConnectionOwner {
  readonly clock: Clock;
  readonly wallNow: () => number;
  readonly sweep: DeadlineSweep;
  readonly responses: ResponseReaderLimits;
  /** Keeps a connection whose request has finished. Returns until when, or -1 if there is no room. */
  keep(connection: ServiceConnection): number;
  /** An idle connection has ended. */
  forget(connection: ServiceConnection): void;
}

export class ServiceConnection implements UpstreamCall, SocketHandler, ResponseEvents, Expiring {
  readonly halfClose = true;
  readonly socket: ByteSocket;
  /**
   * When the last byte of its last request was sent, by the wall clock. For the service, the connection has been idle only
   * since the response; but this process may have been suspended before it read that, so the time of the response isn't known.
   */
  sentAtMs: number;
  readonly #pool: ServiceConnectionOwner;
  readonly #reader: ResponseReader;
  /** The exchange that it is the call of; undefined between requests, and at the end. */
  #events: UpstreamEvents | undefined;
  #gone: boolean;
  /** The connection was established. */
  #opened: boolean;
  /** It has carried a request before, so the service may close it at any moment. */
  #reused: boolean;
  /** How long the service keeps the connection, according to its first response; -1: not known yet. */
  #keepAliveHintMs: number;
  /** When the connection is closed if there is no request; on the clock's scale. */
  #idleUntilMs: number;
  #chunked: boolean;
  /** The request has a body. */
  #hasBody: boolean;
  /** A 101 has arrived: the connection carries another protocol until its end. */
  #switched: boolean;
  /** The request may be retried. */
  #idempotent: boolean;
  /** Counters of the socket at the beginning of the request. */
  #writtenBefore: number;
  #flushesBefore: number;
  /** Bytes of the response that the exchange holds; as long as there are any, nothing is read. */
  #heldBytes: number;
  /** `write` found the connection congested, so `onUpstreamWritable` has to follow. */
  #blocked: boolean;

  constructor(pool: ServiceConnectionOwner, connector: ServiceConnector) {
    this.sentAtMs = 0;
    this.#pool = pool;
    this.#reader = new ResponseReader(this, pool.responses);
    this.#events = undefined;
    this.#gone = false;
    this.#reused = false;
    this.#keepAliveHintMs = -1;
    this.#idleUntilMs = Number.POSITIVE_INFINITY;
    this.#chunked = false;
    this.#idempotent = false;
    this.#writtenBefore = 0;
    this.#flushesBefore = 0;
    this.#hasBody = false;
    this.#switched = false;
    this.#heldBytes = 0;
    this.#blocked = false;
    this.#opened = false;
    this.socket = connector.open(this, { clock: pool.clock, onOpen: () => (this.#opened = true) });
  }

  // Called by the exchange.

  get congested(): boolean {
    return this.socket.out.congested;
  }

  get connecting(): boolean {
    return this.socket.opening;
  }

  /** Called by the pool: the next request is this exchange's. */
  assign(events: UpstreamEvents): void {
    this.#events = events;
  }

  send(head: RequestHead, rewrite: RequestRewrite, last: boolean): void {
    const { out } = this.socket;
    this.#idleUntilMs = Number.POSITIVE_INFINITY;
    this.#chunked = head.chunked && !last;
    this.#hasBody = !last;
    this.#heldBytes = 0;
    this.#blocked = false;
    this.#flushesBefore = out.flushes;
    this.sentAtMs = this.#pool.wallNow();
    this.#idempotent = isIdempotent(head.method);
    if (this.#reused && !this.#idempotent) this.#writtenBefore = this.socket.socket.bytesWritten;
    this.#reader.begin(head.method);
    const start = out.reserve(requestHeadCapacity(head, rewrite));
    out.advance(writeRequestHead(head, out.slab as Buffer, start, rewrite));
  }

  write(buffer: Buffer, start: number, end: number): void {
    writeBody(this.socket.out, this.#chunked, buffer, start, end);
    this.sentAtMs = this.#pool.wallNow();
    this.#blocked = this.socket.out.congested;
  }

  end(trailers: Trailers | undefined): void {
    if (this.#chunked) {
      this.#chunked = false;
      writeLastChunk(this.socket.out, trailers);
    } else if (this.#reader.raw) {
      this.socket.end();
    }
  }

  consume(count: number): void {
    this.#heldBytes -= count;
    if (this.#heldBytes === 0) this.socket.resume();
  }

  abort(why: Reason): void {
    // The service must not mistake a part of the data for all of it. Also, a FIN would have to wait for bytes that it doesn't read.
    const reset = this.#switched || (this.#hasBody && why !== REASONS.early);
    this.#end();
    if (reset) this.socket.reset();
    else this.socket.destroy();
  }

  release(): void {
    const reader = this.#reader;
    this.#events = undefined;
    // From here on, the client's side is responsible for the bytes that the exchange holds.
    this.#heldBytes = 0;
    if (this.#gone) return;
    const until = reader.persistent && this.#keepAliveHintMs !== 0 ? this.#pool.keep(this) : -1;
    this.#reused = true;
    if (until < 0) {
      this.#end();
      // After another protocol, the service gets all queued bytes, however slowly. After HTTP, there are none.
      if (this.#switched || this.socket.ended) this.socket.close();
      else this.socket.destroy();
      return;
    }
    reader.stop();
    this.#idleUntilMs =
      this.#keepAliveHintMs > 0 ? Math.min(until, this.#pool.clock.now() + this.#keepAliveHintMs) : until;
    this.socket.resume();
  }

  /** Called by the pool: the connection is no longer needed. */
  destroy(): void {
    this.#end();
    this.socket.destroy();
  }

  // Events of the socket.

  onBytes(buffer: Buffer, start: number, end: number): void {
    if (this.#events === undefined) {
      // Unexpected bytes: they would be mistaken for the response to the next request.
      this.#pool.forget(this);
      this.destroy();
      return;
    }
    if (!this.#reader.begun && this.socket.out.flushes === this.#flushesBefore) {
      // The request hasn't been sent yet, so these bytes belong to the previous one. The request can be sent elsewhere.
      this.#lose(REASONS.lost, "sent unexpected bytes");
      return;
    }
    this.#reader.read(buffer, start, end);
    this.#events?.onUpstreamTurn();
    if (this.#heldBytes > 0) this.socket.pause();
  }

  onEnd(): void {
    if (this.#events === undefined) {
      this.#pool.forget(this);
      this.destroy();
    } else if (!this.#reader.finish()) {
      if (this.#reader.awaitingHead) this.#lose(REASONS.lost, "closed before its response");
      else this.#lose(REASONS.cut, "closed within its response");
    }
  }

  onDrain(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#events?.onUpstreamWritable();
  }

  onClose(error: Error | undefined): void {
    if (this.#gone) return;
    if (this.#events === undefined) {
      this.#pool.forget(this);
      this.#end();
    } else {
      const before = this.#opened ? REASONS.reset : connectFailure(error);
      this.#lose(this.#reader.awaitingHead ? before : REASONS.cut, connectionFailure(error));
    }
  }

  sweep(nowMs: number): void {
    if (this.#events !== undefined) this.#events.sweep(nowMs);
    else if (nowMs >= this.#idleUntilMs) {
      this.#pool.forget(this);
      this.destroy();
    }
  }

  onFault(): void {
    this.#lose(REASONS.cut, "given up after an internal error");
  }

  // Events of the reader.

  onInform(head: ResponseHead): void {
    this.#heldBytes += head.end - head.start;
    this.#events?.onInform(head);
  }

  onSwitch(head: ResponseHead): boolean {
    this.#switched = true;
    return this.#events?.onSwitch(head) === true;
  }

  onResponse(head: ResponseHead, last: boolean): void {
    if (this.#keepAliveHintMs === -1) this.#keepAliveHintMs = keepAliveHint(head);
    this.#events?.onResponse(head, last);
  }

  onResponseBody(buffer: Buffer, start: number, end: number): void {
    this.#heldBytes += end - start;
    this.#events?.onResponseBody(buffer, start, end);
  }

  onResponseEnd(trailers: Trailers | undefined): void {
    this.#events?.onResponseEnd(trailers);
  }

  onBadResponse(why: Reason, detail: string): void {
    const events = this.#events;
    this.destroy();
    events?.onLost(why, "answered", detail);
  }

  #lose(why: Reason, detail: string): void {
    const events = this.#events;
    const seen = this.#seen();
    this.destroy();
    events?.onLost(why, seen, detail);
  }

  #seen(): Seen {
    if (this.#reader.begun) return "answered";
    if (!this.#reused) return "maybe";
    if (this.#idempotent) return "stale";
    return this.socket.socket.bytesWritten === this.#writtenBefore ? "no" : "stale";
  }

  #end(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#events = undefined;
    this.#reader.stop();
    this.#pool.sweep.remove(this);
  }
}

/** How long the service keeps an idle connection (`Keep-Alive: timeout=5`), in milliseconds, less a margin; or Infinity. */
function keepAliveHint(head: ResponseHead): number {
  const value = findField(head, FIELD_KEEP_ALIVE);
  const seconds = value === undefined ? null : /(?:^|[\s,;])timeout=(\d{1,6})/i.exec(value);
  if (seconds === null) return Number.POSITIVE_INFINITY;
  return Math.max(0, Number(seconds[1]) * 1_000 - KEEP_ALIVE_MARGIN_MS);
}
