// Reads the requests of one HTTP/1.1 connection, strictly one after another: heads, bodies without their framing, raw bytes
// after a 101. Bytes that arrive early (part of a head, pipelined requests) are buffered in order until the previous request
// has finished. Enforces the timeouts for heads and bodies.

import type { ByteSocket } from "@piko/tunnel";
import { requestBody } from "../../http/body-framing.js";
import { HTTP_ERRORS, type HttpError } from "../../http/errors.js";
import type { Trailers } from "../../http/exchange/client-side.js";
import { BodyReader, type BodySink } from "../../http/h1/body-reader.js";
import { END_INVALID, END_UNKNOWN, HeadEndFinder } from "../../http/h1/find-head-end.js";
import { parseRequestHead } from "../../http/h1/parse-request-head.js";
import { HEAD_INCOMPLETE, HEAD_INVALID, type RequestHead } from "../../http/head.js";
import { SMALL_HEAD_BYTES } from "../../net/byte-budget.js";
import { HANDSHAKE_RECORD } from "../../net/accept/tls-on-plain-port.js";
import { ByteStore } from "../../net/byte-store.js";
import { deadlineAfter } from "../../net/deadline-sweep.js";
import type { Postponed } from "../../net/next-turn.js";
import type { ProxyContext } from "../exchange/proxy-context.js";
import {
  BODY_SIZE,
  BODY_TIMEOUT,
  HEAD_TIMEOUT,
  TARGET_SIZE,
  TLS_HANDSHAKE,
} from "../exchange/proxy-limits.js";
import { partialHeadRefusal } from "./partial-head.js";

/**
 * Maximum requests that a connection may begin in one turn. Otherwise, one client's pipeline of requests that are answered at
 * once (`OPTIONS *`, refusals) would keep all others waiting.
 */
const MAX_REQUESTS_PER_TURN = 32;

// States: what is read.
/** Nothing, or a head: between two requests. */
export const READING_HEAD = 0;
/** The body of the request in progress, or nothing until the request has finished. */
export const IN_REQUEST = 1;
/** Another protocol: bytes are passed on unchanged. */
export const RAW = 2;
/** Nothing more: further bytes are dropped. */
const STOPPED = 3;
/** Nothing here: the socket has another handler. */
export const HANDED_OVER = 4;

/** The events for the reader's owner, which calls `next`, `switchToRaw` or `stop` when the request in progress has finished. */
export interface RequestReaderEvents {
  /** A request has begun. `last`: it has no body. */
  onRequestHead(head: RequestHead, last: boolean): void;
  /** A piece of its body, or raw bytes; `consume` follows, in this call or later. */
  onRequestBody(buffer: Buffer, start: number, end: number): void;
  onRequestEnd(trailers: Trailers | undefined): void;
  /** The body of the request in progress is malformed, too large or too slow. */
  onBadBody(error: HttpError): void;
  /** A head is malformed, too large or too slow. */
  onBadHead(error: HttpError): void;
}

export class RequestReader implements BodySink, Postponed {
  state: number;
  /** When waiting for the client ends in a refusal or a close; Infinity for no timeout. */
  deadlineMs: number;
  /** Whether pipelined requests were dropped, so that the response in progress is the last. */
  lastRequest: boolean;
  readonly #context: ProxyContext;
  readonly #socket: ByteSocket;
  readonly #events: RequestReaderEvents;
  readonly #body: BodyReader;
  /** Bytes for the next request or, after an upgrade request, for the other protocol. */
  readonly #ahead: ByteStore;
  readonly #finder: HeadEndFinder;
  /** Whether `#process` is running; it then begins the next request itself. */
  #processing: boolean;
  /** Whether the connection has used up its share of this turn, and continues in the next one. */
  #postponed: boolean;
  /** When the last response ended, or the connection began. */
  #idleSinceMs: number;
  /** The idle timeout has expired: the connection ends in the next turn if nothing has arrived by then. */
  #idleExpired: boolean;
  /** Bytes that the owner holds; no more are read until it has consumed them. */
  #heldBytes: number;
  /** Whether the body in progress has no timeout. */
  #untimed: boolean;

  constructor(context: ProxyContext, socket: ByteSocket, events: RequestReaderEvents) {
    this.state = READING_HEAD;
    this.#idleSinceMs = context.clock.now();
    this.deadlineMs = deadlineAfter(this.#idleSinceMs, context.config.http.readHeaderTimeoutMs);
    this.lastRequest = false;
    this.#context = context;
    this.#socket = socket;
    this.#events = events;
    this.#body = new BodyReader("request", context.budget);
    this.#ahead = new ByteStore(context.budget);
    this.#finder = new HeadEndFinder();
    this.#processing = false;
    this.#postponed = false;
    this.#idleExpired = false;
    this.#heldBytes = 0;
    this.#untimed = false;
  }

  /** Whether nothing of a next request has arrived. */
  get idle(): boolean {
    return this.state === READING_HEAD && this.#ahead.length === 0;
  }

  /** Whether the request in progress has arrived completely. */
  get bodyDone(): boolean {
    return this.#body.done;
  }

  /** Reads bytes from the socket. */
  read(buffer: Buffer, start: number, end: number): void {
    switch (this.state) {
      case READING_HEAD:
        if (this.#ahead.length === 0 && !this.#stalled) {
          this.#keep(buffer, this.#process(buffer, start, end), end);
        } else this.#keep(buffer, start, end);
        break;
      case IN_REQUEST:
        this.#keep(buffer, this.#readBody(buffer, start, end), end);
        break;
      case RAW:
        this.#hand(buffer, start, end);
        break;
    }
  }

  /** The body of the request that has just begun may pause for any time. */
  waitForBody(): void {
    this.#untimed = true;
  }

  /** The owner has passed on `count` of the bytes that it held. */
  consume(count: number): void {
    this.#heldBytes -= count;
    if (this.#heldBytes === 0) this.#resume();
  }

  /** The request in progress has finished, and its connection continues: reads the next request. */
  next(nowMs: number): void {
    this.state = READING_HEAD;
    this.#idleSinceMs = nowMs;
    this.deadlineMs = deadlineAfter(nowMs, this.#context.config.http.idleTimeoutMs);
    this.#idleExpired = false;
    this.#finder.reset();
    // While `#process` is running, its loop continues with the next request.
    if (this.#processing) this.#resume();
    else this.beginNext();
  }

  /** Ends the connection once it has been idle for `ms`. */
  endIdle(ms: number): void {
    this.deadlineMs = Math.min(this.deadlineMs, this.#idleSinceMs + ms);
  }

  /** From now on, bytes belong to another protocol. */
  switchToRaw(): void {
    this.state = RAW;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    const { buffer, start, end } = this.#ahead;
    if (end > start) this.#hand(buffer, start, end);
    this.#ahead.clear();
    if (this.#heldBytes === 0) this.#socket.resume();
  }

  /** Reads no more. */
  stop(): void {
    this.state = STOPPED;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.#ahead.clear();
    this.#body.clear();
  }

  /** The socket has another handler now: passes it the buffered bytes. */
  passAhead(): void {
    const ahead = this.#ahead;
    // While `#process` is running, its caller passes them on.
    if (this.#processing || ahead.length === 0) return;
    this.#socket.resume();
    this.#socket.handler.onBytes(ahead.buffer, ahead.start, ahead.end);
    ahead.clear();
  }

  /** Continues with buffered bytes between two requests, when the socket may have room again or in the next turn. */
  beginNext(): void {
    if (this.state !== READING_HEAD || this.#stalled) return;
    if (this.#ahead.length > 0) this.#processAhead();
    const held = this.#isInRequest() ? this.#heldBytes > 0 : this.#stalled;
    if (!held) this.#resume();
  }

  onNextTurn(): void {
    this.#postponed = false;
    if (this.#idleExpired && this.idle) this.#socket.destroy();
    else this.beginNext();
  }

  onFault(): void {
    this.#socket.reset();
  }

  /** Checks the timeouts. */
  sweep(nowMs: number): void {
    if (nowMs < this.deadlineMs) return;
    const { readHeaderTimeoutMs, readTimeoutMs } = this.#context.config.http;
    if (this.state === IN_REQUEST) {
      // A client that is held back (the tunnel has no room) isn't slow itself.
      if (this.#socket.paused || this.#untimed) this.deadlineMs = deadlineAfter(nowMs, readTimeoutMs);
      else this.#events.onBadBody(BODY_TIMEOUT);
    } else if (this.state === READING_HEAD && this.#stalled) {
      this.deadlineMs = deadlineAfter(nowMs, readHeaderTimeoutMs);
    } else if (this.state === READING_HEAD && this.#ahead.length > 0) this.#events.onBadHead(HEAD_TIMEOUT);
    else {
      // If the process is short of CPU, a request that arrived in time may still be unread.
      this.#idleExpired = true;
      this.#context.nextTurn.add(this);
    }
  }

  /** Parses requests until bytes run out or the connection must wait; returns the offset of the first unused byte. */
  #process(buffer: Buffer, start: number, end: number): number {
    const { requestHead: head, config } = this.#context;
    this.#processing = true;
    let at = start;
    let begun = 0;
    while (at < end && this.state === READING_HEAD) {
      if (begun++ === MAX_REQUESTS_PER_TURN) {
        this.#postponed = true;
        this.#context.nextTurn.add(this);
      }
      if (this.#stalled) break;
      const result = parseRequestHead(head, buffer, at, end);
      if (result === HEAD_INCOMPLETE) break;
      const refusal =
        result === HEAD_INVALID
          ? this.#invalid(head.error, buffer[at])
          : head.end - head.start > config.http.maxHeaderBytes
            ? HTTP_ERRORS.HEAD_SIZE
            : head.targetEnd - head.targetStart > config.limits.maxTargetBytes
              ? TARGET_SIZE
              : undefined;
      if (refusal !== undefined) {
        this.#events.onBadHead(refusal);
        at = end;
        break;
      }
      at = head.end;
      this.#begin(head);
      if (this.#isInRequest()) at = this.#readBody(buffer, at, end);
    }
    this.#processing = false;
    return this.state === STOPPED ? end : at;
  }

  /** The error for an invalid head with this first byte. */
  #invalid(error: HttpError | undefined, first: number | undefined): HttpError {
    return first === HANDSHAKE_RECORD ? TLS_HANDSHAKE : (error ?? HTTP_ERRORS.METHOD);
  }

  /** A method, so that the compiler doesn't assume that a call left the state unchanged. */
  #isInRequest(): boolean {
    return this.state === IN_REQUEST;
  }

  #begin(head: RequestHead): void {
    this.state = IN_REQUEST;
    const body = this.#body;
    body.reset(requestBody(head), head.contentLength);
    this.#heldBytes = 0;
    this.#untimed = false;
    this.deadlineMs = body.done
      ? Number.POSITIVE_INFINITY
      : deadlineAfter(this.#context.clock.now(), this.#context.config.http.readTimeoutMs);
    this.#events.onRequestHead(head, body.done);
  }

  /** Reads the body of the request in progress; returns the offset of the first unused byte. */
  #readBody(buffer: Buffer, start: number, end: number): number {
    const body = this.#body;
    if (body.done || start === end) return start;
    const at = body.read(buffer, start, end, this);
    if (at < 0) {
      this.#events.onBadBody(body.error ?? HTTP_ERRORS.TRUNCATED);
      return end;
    }
    if (body.received > this.#context.config.limits.maxBodyBytes) {
      body.done = false;
      this.#events.onBadBody(BODY_SIZE);
      return end;
    }
    // The request may have finished meanwhile, and the deadline may already be that of the next one.
    if (this.state !== IN_REQUEST) return at;
    if (body.done) {
      this.deadlineMs = Number.POSITIVE_INFINITY;
      this.#events.onRequestEnd(body.trailers);
    } else {
      this.deadlineMs = deadlineAfter(this.#context.clock.now(), this.#context.config.http.readTimeoutMs);
    }
    return at;
  }

  /** A piece of the body, from its reader; bytes above the limit never reach a service. */
  onBody(buffer: Buffer, start: number, end: number): void {
    if (this.#body.received > this.#context.config.limits.maxBodyBytes) return;
    this.#hand(buffer, start, end);
  }

  /** Passes bytes to the owner, and reads no more while it holds them. */
  #hand(buffer: Buffer, start: number, end: number): void {
    this.#heldBytes += end - start;
    this.#events.onRequestBody(buffer, start, end);
    if (this.#heldBytes > 0) this.#socket.pause();
  }

  /** Buffers unused bytes: the start of a head, or early requests. */
  #keep(buffer: Buffer, start: number, end: number): void {
    if (start >= end) return;
    if (this.state === HANDED_OVER) {
      this.#socket.handler.onBytes(buffer, start, end);
      return;
    }
    if (this.state === RAW) {
      this.#hand(buffer, start, end);
      return;
    }
    if (this.state === STOPPED) return;
    const reading = this.state === READING_HEAD;
    const ahead = this.#ahead;
    const { budget, clock, config, limits } = this.#context;
    if (!reading && budget.exhausted && ahead.length + end - start > SMALL_HEAD_BYTES) {
      // Pipelined requests may be dropped: the client retries them on another connection.
      if (!this.lastRequest) limits.hit("max_buffered_bytes");
      this.lastRequest = true;
      ahead.clear();
      this.#socket.pause();
      return;
    }
    if (ahead.length === 0 && reading) {
      this.deadlineMs = deadlineAfter(clock.now(), config.http.readHeaderTimeoutMs);
    }
    ahead.append(buffer, start, end);
    if (reading && !this.#stalled) this.#searchHead();
    else if (reading || ahead.length > config.limits.maxBufferedBytesPerConnection) {
      // The client has reached its limit of early bytes, or the connection is stalled.
      if (!this.#socket.paused && !this.#stalled) limits.hit("max_buffered_bytes_per_connection");
      this.#socket.pause();
    }
  }

  /** Searches the buffered bytes for the end of a head; examines each byte once. */
  #searchHead(): void {
    const ahead = this.#ahead;
    const found = this.#finder.find(ahead.buffer, ahead.start, ahead.end);
    if (found === END_INVALID) {
      this.#events.onBadHead(this.#invalid(this.#finder.error, ahead.buffer[ahead.start]));
    } else if (found === END_UNKNOWN) {
      const refusal = partialHeadRefusal(ahead, this.#context);
      if (refusal !== undefined) this.#events.onBadHead(refusal);
    } else {
      this.#processAhead();
    }
  }

  #processAhead(): void {
    const ahead = this.#ahead;
    const { start } = ahead;
    const at = this.#process(ahead.buffer, ahead.start, ahead.end);
    // `stop` and `passAhead` empty the store.
    if (ahead.length === 0) return;
    if (this.state === HANDED_OVER) {
      this.#socket.handler.onBytes(ahead.buffer, at, ahead.end);
      ahead.clear();
      return;
    }
    ahead.consumeTo(at);
    if (this.state !== READING_HEAD || ahead.length === 0) return;
    if (this.#stalled) {
      this.#socket.pause();
      return;
    }
    if (at > start) {
      const { clock, config } = this.#context;
      this.deadlineMs = deadlineAfter(clock.now(), config.http.readHeaderTimeoutMs);
      this.#finder.reset();
      this.#searchHead();
    }
  }

  /** Whether the connection must wait: for its next turn, or for its client to read earlier responses. */
  get #stalled(): boolean {
    return this.#postponed || this.#socket.out.congested;
  }

  #resume(): void {
    if (this.#ahead.length <= this.#context.config.limits.maxBufferedBytesPerConnection)
      this.#socket.resume();
  }
}
