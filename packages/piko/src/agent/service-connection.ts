// A connection to an HTTP service, used for one request after another: sends what it is given, and reads responses
// just far enough to know where they end. Lives in a service pool between requests.

import type { ByteSocket, SocketHandler } from "@piko/tunnel";
import { BODY_NONE, responseBody } from "../http/body-framing.js";
import { BODY_INVALID, BodyReader, type BodySink } from "../http/h1/body-reader.js";
import { FIELD_KEEP_ALIVE } from "../http/field-names.js";
import { findField } from "../http/find-field.js";
import { END_INVALID, END_UNKNOWN, HeadEndFinder } from "../http/h1/find-head-end.js";
import { HEAD_COMPLETE, HEAD_INCOMPLETE, type RequestHead, type ResponseHead } from "../http/head.js";
import { parseResponseHead } from "../http/h1/parse-response-head.js";
import { requestHeadCapacity, writeRequestHead } from "../http/h1/rewrite-request-head.js";
import type { RequestRewrite } from "../http/request-rewrite.js";
import { ByteStore } from "../net/byte-store.js";
import type { Expiring } from "../net/deadline-sweep.js";
import { connectionFailure, type ServiceConnector } from "./connect-service.js";
import type { ServicePool } from "./service-pool.js";

/** Most bytes of a request that are kept to be sent again. */
const MAX_REPLAY_BYTES = 16 * 1024;
/** How much sooner than the service says an idle connection is closed, so that no request meets its end. */
const KEEP_ALIVE_MARGIN_MS = 1_000;

/** What the owner of a request is told of its response. */
export interface ResponseHandler {
  /** Filled by each parse; may be shared by all requests of a service. */
  readonly responseHead: ResponseHead;
  /** 100, 103 and the like. */
  onInterimHead(head: ResponseHead): void;
  /** 101. True: the connection was taken over, `detach` included. */
  onSwitch(head: ResponseHead): boolean;
  /** The final head, with the BODY_* kind of what follows. */
  onFinalHead(head: ResponseHead, bodyKind: number): void;
  /** Body bytes, with their chunk framing if they have any. */
  onResponseBody(buffer: Buffer, start: number, end: number): void;
  /** The response is whole. `reusable`: the connection can carry another request if this one was sent whole. */
  onResponseEnd(reusable: boolean): void;
  /** All bytes of this turn's read were handed on. */
  onResponseTurn(): void;
  /** The connection is lost, or what came isn't HTTP. */
  onServiceLost(reason: string): void;
  /** The service took what was waiting for it. */
  onServiceDrain(): void;
  /** The time for the response head is over. */
  onServiceTimeout(): void;
}

const IDLE = 0;
/** A request is under way, no final head yet. */
const AWAITING_HEAD = 1;
const READING_BODY = 2;
const GONE = 3;

export class ServiceConnection implements SocketHandler, BodySink, Expiring {
  readonly socket: ByteSocket;
  /** When the response head must have come or, between requests, the connection is closed; on the clock's scale. */
  deadlineMs: number;
  readonly #pool: ServicePool;
  readonly #body: BodyReader;
  readonly #finder: HeadEndFinder;
  readonly #head: ByteStore;
  #handler: ResponseHandler | undefined;
  #phase: number;
  /** It has carried a request before: the service may close it at any moment. */
  #reused: boolean;
  #method: string;
  #persistent: boolean;
  /** What the service says about how long it keeps the connection; asked once. -1: not known yet. */
  #keepAliveHintMs: number;
  /** The request so far, kept while it may have to be sent again. */
  #request: Buffer;
  /** -1: not kept. */
  #requestBytes: number;
  /** Of the socket, when the request began. */
  #writtenBefore: number;
  #flushesBefore: number;

  constructor(pool: ServicePool, connector: ServiceConnector) {
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.#pool = pool;
    this.#body = new BodyReader("response");
    this.#finder = new HeadEndFinder();
    this.#head = new ByteStore(pool.budget);
    this.#handler = undefined;
    this.#phase = IDLE;
    this.#reused = false;
    this.#method = "";
    this.#persistent = true;
    this.#keepAliveHintMs = -1;
    this.#request = NOTHING;
    this.#requestBytes = -1;
    this.#writtenBefore = 0;
    this.#flushesBefore = 0;
    this.socket = connector.open(this);
  }

  /** The service takes bytes more slowly than they come. */
  get congested(): boolean {
    return this.socket.out.congested;
  }

  /** For the pool: the next request is this handler's. */
  assign(handler: ResponseHandler): void {
    this.#handler = handler;
  }

  /** A request begins. Its bytes follow, and must be answered with a head by `deadlineMs`. */
  begin(method: string, deadlineMs: number): void {
    this.#method = method;
    this.#phase = AWAITING_HEAD;
    this.deadlineMs = deadlineMs;
    this.#requestBytes = this.#reused ? 0 : -1;
    this.#flushesBefore = this.socket.out.flushes;
    if (this.#reused && !isIdempotent(method)) this.#writtenBefore = this.socket.socket.bytesWritten;
  }

  /** Sends the request's head. */
  sendHead(head: RequestHead, rewrite: RequestRewrite): void {
    const { out } = this.socket;
    const start = out.reserve(requestHeadCapacity(head, rewrite));
    const slab = out.slab as Buffer;
    const end = writeRequestHead(head, slab, start, rewrite);
    if (this.#requestBytes >= 0) this.#keep(slab, start, end);
    out.advance(end);
  }

  /** Sends a part of the request's body. */
  send(buffer: Buffer, start: number, end: number): void {
    this.socket.out.write(buffer, start, end);
    if (this.#requestBytes >= 0) this.#keep(buffer, start, end);
  }

  /**
   * Sends the request again on `next`, if it is safe to: this connection was used before, so that it may have been closed
   * before it knew of the request; no byte of a response came; all of the request so far is at hand; and the service has
   * not seen it, or may see it twice.
   */
  replayOn(next: ServiceConnection): boolean {
    if (!this.replayable) return false;
    next.begin(this.#method, this.deadlineMs);
    next.send(this.#request, 0, this.#requestBytes);
    return true;
  }

  /** See {@link ServiceConnection.replayOn}. */
  get replayable(): boolean {
    if (this.#requestBytes <= 0) return false;
    return isIdempotent(this.#method) || this.socket.socket.bytesWritten === this.#writtenBefore;
  }

  /** The request is over; the connection waits for the next one, if it can. */
  release(): void {
    this.#handler = undefined;
    if (this.#phase === GONE) return;
    this.#phase = IDLE;
    this.#reused = true;
    const until = this.#keepAliveHintMs === 0 ? -1 : this.#pool.keep(this);
    if (until < 0) {
      this.destroy();
      return;
    }
    this.deadlineMs =
      this.#keepAliveHintMs > 0 ? Math.min(until, this.#pool.clock.now() + this.#keepAliveHintMs) : until;
    this.socket.resume();
  }

  /** Closes at once: nobody waits for the response any more. */
  destroy(): void {
    this.#end();
    this.socket.destroy();
  }

  /** Leaves the socket to another handler, which gets all further bytes. */
  detach(handler: SocketHandler): ByteSocket {
    this.#end();
    this.socket.handler = handler;
    return this.socket;
  }

  onBytes(buffer: Buffer, start: number, end: number): void {
    const handler = this.#handler;
    if (handler === undefined || this.#phase === IDLE) {
      // Nothing was asked: what this answers would be taken for the answer to the next request.
      this.#pool.forget(this);
      this.destroy();
      return;
    }
    if (this.#phase === AWAITING_HEAD && this.socket.out.flushes === this.#flushesBefore) {
      // The request has not left yet, so this belongs to the one before. It can go out elsewhere.
      this.#lose(handler, "sent bytes that nobody asked for");
      return;
    }
    this.#requestBytes = -1;
    if (this.#head.length > 0) this.#moreOfHead(handler, buffer, start, end);
    else this.#read(handler, buffer, start, end);
    handler.onResponseTurn();
  }

  onBody(buffer: Buffer, start: number, end: number): void {
    this.#handler?.onResponseBody(buffer, start, end);
  }

  onEnd(): void {
    const handler = this.#handler;
    if (handler === undefined) {
      this.#pool.forget(this);
      this.destroy();
    } else if (this.#phase === READING_BODY && this.#body.finish()) {
      handler.onResponseEnd(false);
      handler.onResponseTurn();
    } else {
      const reason =
        this.#phase === AWAITING_HEAD ? "closed before its response" : "closed within its response";
      this.#lose(handler, reason);
    }
  }

  onDrain(): void {
    this.#handler?.onServiceDrain();
  }

  onClose(error: Error | undefined): void {
    const handler = this.#handler;
    if (this.#phase === GONE) return;
    if (handler === undefined) {
      this.#pool.forget(this);
      this.#end();
    } else {
      this.#lose(handler, connectionFailure(error));
    }
  }

  sweep(nowMs: number): void {
    if (nowMs < this.deadlineMs) return;
    if (this.#phase === AWAITING_HEAD) {
      this.#handler?.onServiceTimeout();
    } else if (this.#phase === IDLE) {
      this.#pool.forget(this);
      this.destroy();
    }
  }

  #read(handler: ResponseHandler, buffer: Buffer, start: number, end: number): void {
    let at = start;
    while (this.#phase === AWAITING_HEAD) {
      if (at === end) return;
      const head = handler.responseHead;
      const result = parseResponseHead(head, buffer, at, end);
      if (result === HEAD_INCOMPLETE) {
        this.#finder.reset();
        this.#moreOfHead(handler, buffer, at, end);
        return;
      }
      if (result !== HEAD_COMPLETE) {
        this.#lose(handler, head.error?.message ?? "invalid response head");
        return;
      }
      if (head.end - head.start > this.#pool.maxResponseHeadBytes) {
        this.#lose(handler, this.#headTooLarge());
        return;
      }
      at = head.end;
      if (head.status === 101) {
        if (handler.onSwitch(head)) {
          if (at < end) this.socket.handler.onBytes(buffer, at, end);
        } else {
          this.#lose(handler, "switched to a protocol that was not asked for");
        }
        return;
      }
      if (head.status < 200) handler.onInterimHead(head);
      else this.#onFinalHead(handler, head);
    }
    if (this.#phase !== READING_BODY) return;
    const next = this.#body.read(buffer, at, end, this);
    // The handler may have let go while it was told of the body.
    if (this.#phase !== READING_BODY) return;
    if (next === BODY_INVALID) this.#lose(handler, this.#body.error?.message ?? "invalid response body");
    else if (this.#body.done) handler.onResponseEnd(this.#persistent && next === end);
  }

  #onFinalHead(handler: ResponseHandler, head: ResponseHead): void {
    const kind = responseBody(head, this.#method);
    this.#persistent =
      (head.minorVersion === 1 ? !head.connectionClose : head.connectionKeepAlive && !head.connectionClose) &&
      !mayBringStrayBody(head, kind);
    if (this.#keepAliveHintMs === -1) this.#keepAliveHintMs = keepAliveHint(head);
    this.#body.reset(kind, head.contentLength, false);
    this.#phase = READING_BODY;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    handler.onFinalHead(head, kind);
  }

  #moreOfHead(handler: ResponseHandler, buffer: Buffer, start: number, end: number): void {
    const store = this.#head;
    store.append(buffer, start, end);
    const found = this.#finder.find(store.buffer, store.start, store.end);
    if (found === END_UNKNOWN && store.length <= this.#pool.maxResponseHeadBytes) {
      if (!this.#pool.budget.exhausted) return;
      this.#lose(handler, "too many bytes of response heads wait");
      return;
    }
    if (found === END_INVALID || found === END_UNKNOWN) {
      this.#lose(handler, this.#finder.error?.message ?? this.#headTooLarge());
      return;
    }
    const { buffer: bytes, start: from, end: to } = store;
    store.clear();
    this.#read(handler, bytes, from, to);
  }

  #headTooLarge(): string {
    return `response head above ${this.#pool.maxResponseHeadBytes} bytes`;
  }

  #lose(handler: ResponseHandler, reason: string): void {
    this.destroy();
    handler.onServiceLost(reason);
  }

  #end(): void {
    if (this.#phase === GONE) return;
    this.#phase = GONE;
    this.#handler = undefined;
    this.#head.clear();
    this.#pool.sweep.remove(this);
  }

  #keep(buffer: Buffer, start: number, end: number): void {
    const total = this.#requestBytes + end - start;
    if (total > MAX_REPLAY_BYTES) {
      this.#requestBytes = -1;
      this.#request = NOTHING;
      return;
    }
    if (total > this.#request.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(total, MIN_REPLAY_BUFFER_BYTES));
      this.#request.copy(larger, 0, 0, this.#requestBytes);
      this.#request = larger;
    }
    buffer.copy(this.#request, this.#requestBytes, start, end);
    this.#requestBytes = total;
  }
}

const NOTHING: Buffer = Buffer.alloc(0);
const MIN_REPLAY_BUFFER_BYTES = 1_024;

/**
 * A response that has no body by its method or status (HEAD, 204, 304), but announces one. Services that get this wrong
 * send it, too late to be told from the answer to the next request; so there is none on this connection.
 */
function mayBringStrayBody(head: ResponseHead, kind: number): boolean {
  return kind === BODY_NONE && (head.contentLength > 0 || head.chunked);
}

/** RFC 9110 section 9.2.2, but without TRACE. */
function isIdempotent(method: string): boolean {
  switch (method) {
    case "GET":
    case "HEAD":
    case "OPTIONS":
    case "PUT":
    case "DELETE":
      return true;
    default:
      return false;
  }
}

/** Milliseconds that the service keeps an idle connection by its `Keep-Alive: timeout=5`, with a margin; or Infinity. */
function keepAliveHint(head: ResponseHead): number {
  const value = findField(head, FIELD_KEEP_ALIVE);
  const seconds = value === undefined ? null : /(?:^|[\s,;])timeout=(\d{1,6})/i.exec(value);
  if (seconds === null) return Number.POSITIVE_INFINITY;
  return Math.max(0, Number(seconds[1]) * 1_000 - KEEP_ALIVE_MARGIN_MS);
}
