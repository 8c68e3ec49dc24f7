// One client connection of the proxy port: reads requests strictly one after another, hands each to the exchange, and
// keeps the time limits. Pipelined requests wait here, in order, until the exchange before them is over.

import type { ByteSocket, SocketHandler } from "@piko/tunnel";
import { requestBody } from "../../http/body-framing.js";
import { BodyReader, type BodySink } from "../../http/h1/body-reader.js";
import { HTTP_ERRORS, type HttpError } from "../../http/errors.js";
import { END_INVALID, END_UNKNOWN, HeadEndFinder } from "../../http/h1/find-head-end.js";
import { HEAD_INCOMPLETE, HEAD_INVALID, type RequestHead } from "../../http/head.js";
import { parseRequestHead } from "../../http/h1/parse-request-head.js";
import { ByteStore } from "../../net/byte-store.js";
import type { Postponed } from "../../net/next-turn.js";
import type { Expiring } from "../../net/deadline-sweep.js";
import { errorBody, type ErrorResponse, errorResponse } from "../../http/h1/error-response.js";
import { Exchange } from "./exchange.js";
import { forwardedClient } from "./forwarded-fields.js";
import type { ProxyContext } from "./proxy-context.js";
import {
  BODY_SIZE,
  BODY_TIMEOUT,
  fieldsOf,
  HEAD_TIMEOUT,
  NO_MEMORY,
  SMALL_HEAD_BYTES,
  TARGET_SIZE,
} from "./proxy-limits.js";
import { routeRequest } from "./route.js";

/**
 * Requests that a connection may begin in one go. What is answered at once (`OPTIONS *`, a refusal) would otherwise let
 * one client's pipeline of tiny requests keep all others waiting.
 */
const MAX_REQUESTS_PER_TURN = 32;
/** The longest request line has the longest target and this: method, blanks, version and line end. */
const LINE_EXTRA_BYTES = 64;
const LF = 0x0a;

// What the connection is doing.
/** Between requests, or inside a head. */
const READING_HEAD = 0;
/** A request is under way; its body may still be coming. */
const EXCHANGING = 1;
/** Upgraded: bytes pass both ways. */
const RAW = 2;
/** The last response is out; what comes is dropped. */
const LINGERING = 3;
/** The socket has another handler; the connection is only counted. */
const HANDED_OVER = 4;
/** The socket is gone. */
const OVER = 5;

/** Whose connection it is. */
export interface Client {
  /** For logs and X-Forwarded-For: the peer's address, or what a PROXY protocol header says. */
  readonly address: string;
  /** A trusted proxy. */
  readonly trusted: boolean;
  /** The connection counts as one of this address. */
  readonly counted: boolean;
}

export class ClientConnection implements SocketHandler, BodySink, Expiring, Postponed {
  readonly context: ProxyContext;
  readonly socket: ByteSocket;
  readonly clientIp: string;
  readonly trusted: boolean;
  readonly counted: boolean;
  readonly forwardedFor: Buffer;
  /** Reads the request's body; its sink is the exchange. */
  readonly requestBody: BodyReader;
  readonly exchange: Exchange;
  /** What the last request was for. */
  lastEndpointId: string;
  #state: number;
  #processing: boolean;
  /** The connection has had its share of this turn, and goes on in the next one. */
  #postponed: boolean;
  /** Requests sent ahead were dropped, so the response under way is the last. */
  #lastRequest: boolean;
  readonly #ahead: ByteStore;
  readonly #finder: HeadEndFinder;
  /** When the current wait for the client ends in a refusal or a close; Infinity for none. */
  #deadlineMs: number;
  /** Unsent bytes when last looked at, and when they last became fewer. */
  #unsentBytes: number;
  #progressMs: number;
  readonly #onGone: (connection: ClientConnection) => void;

  /** Takes over an accepted socket; bytes that were read from it already go to `onBytes`. */
  constructor(
    context: ProxyContext,
    socket: ByteSocket,
    client: Client,
    onGone: (connection: ClientConnection) => void,
  ) {
    this.context = context;
    this.#onGone = onGone;
    this.#state = READING_HEAD;
    this.#processing = false;
    this.#postponed = false;
    this.#lastRequest = false;
    this.#ahead = new ByteStore(context.budget);
    this.#finder = new HeadEndFinder();
    this.#unsentBytes = 0;
    this.#progressMs = 0;
    this.requestBody = new BodyReader();
    this.socket = socket;
    socket.handler = this;
    this.clientIp = client.address;
    this.trusted = client.trusted;
    this.counted = client.counted;
    this.forwardedFor = Buffer.from(this.clientIp, "latin1");
    this.exchange = new Exchange(this);
    this.lastEndpointId = "";
    this.#deadlineMs = deadline(context.clock.now(), context.config.http.readHeaderTimeoutMs);
    context.sweep.add(this);
  }

  /** No request is under way. */
  get idle(): boolean {
    return this.#state === READING_HEAD && this.#ahead.length === 0;
  }

  onBytes(buffer: Buffer, start: number, end: number): void {
    switch (this.#state) {
      case READING_HEAD:
        if (this.#ahead.length === 0 && !this.#stalled) {
          this.#keep(buffer, this.#process(buffer, start, end), end);
        } else this.#keep(buffer, start, end);
        break;
      case EXCHANGING:
        this.#keep(buffer, this.#readBody(buffer, start, end), end);
        break;
      case RAW:
        this.exchange.sendRaw(buffer, start, end);
        break;
    }
  }

  onEnd(): void {
    if (this.#state === RAW) {
      this.exchange.clientEnded();
      return;
    }
    // A client that ends while its request is under way is gone, as it is for nginx and Go: waiting for its answer to
    // fail would keep the service at work for nobody.
    if (this.#state === EXCHANGING) this.exchange.abort();
    if (this.#state !== OVER) this.socket.close();
  }

  onDrain(): void {
    this.exchange.onClientDrain();
    this.#goOn();
  }

  onNextTurn(): void {
    this.#postponed = false;
    this.#goOn();
  }

  onClose(): void {
    if (this.#state === EXCHANGING || this.#state === RAW) this.exchange.abort();
    this.release();
  }

  /** Leaves the socket to a handler that replaces this one; `release` follows when it is closed. */
  handOver(): void {
    this.#state = HANDED_OVER;
    this.context.sweep.remove(this);
  }

  /** The socket is closed. Idempotent. */
  release(): void {
    if (this.#state === OVER) return;
    this.#state = OVER;
    this.#ahead.clear();
    this.exchange.release();
    this.context.sweep.remove(this);
    this.#onGone(this);
  }

  /** For the exchange: the service agreed to another protocol; from here on bytes pass both ways. */
  becomeRaw(): void {
    this.#state = RAW;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    const { buffer, start, end } = this.#ahead;
    if (end > start) this.exchange.sendRaw(buffer, start, end);
    this.#ahead.clear();
    if (!this.exchange.uploadHeld) this.socket.resume();
  }

  /** For the exchange: the request is over, since just now. The connection goes on with the next one, or ends. */
  exchangeOver(keepAlive: boolean, nowMs: number): void {
    if (this.#state === OVER) return;
    // A response whose head went out before the node began to stop couldn't say that it is the last.
    const last = this.context.draining && this.#ahead.length === 0;
    if (!keepAlive || !this.requestBody.done || last || this.#lastRequest) {
      this.linger();
      return;
    }
    this.#state = READING_HEAD;
    this.#deadlineMs = deadline(nowMs, this.context.config.http.idleTimeoutMs);
    this.#finder.reset();
    // Otherwise the loop that began the request goes on.
    if (this.#processing) this.resumeReading();
    else this.#goOn();
  }

  /** For the exchange: no request follows the one under way. */
  get lastRequest(): boolean {
    return this.#lastRequest;
  }

  /** Ends the connection behind what is written; the socket waits a moment for the client to have read it. */
  linger(): void {
    if (this.#state === OVER) return;
    this.#state = LINGERING;
    this.#ahead.clear();
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    this.socket.close();
  }

  /** Ends the connection in a way that the client can't take for a complete response. */
  cut(reset: boolean): void {
    if (reset) this.socket.reset();
    else this.socket.close();
  }

  /** For the exchange: who the log says has sent the request. */
  clientOf(head: RequestHead): string {
    if (!this.trusted) return this.clientIp;
    const { accessLog, config } = this.context;
    if (!accessLog.enabled) return this.clientIp;
    return forwardedClient(head, this.clientIp, (address) => config.trustedProxies.includes(address));
  }

  /** Answers a request that a limit stops before an upstream is asked. */
  refuse(head: RequestHead, error: HttpError): void {
    this.context.countRefusal(error);
    this.exchange.respondError(head, error.status, error.message, fieldsOf(error));
  }

  /** Writes an error response; returns the length of its body. */
  writeError(error: ErrorResponse): number {
    this.socket.out.writeLatin1(errorResponse({ dateLine: this.context.dateLine.get(), ...error }));
    return error.headOnly ? 0 : errorBody(error.message).length;
  }

  /** A piece of the request's body, from its reader; what is above the limit never reaches a service. */
  onBody(buffer: Buffer, start: number, end: number): void {
    if (this.requestBody.received > this.context.config.limits.maxBodyBytes) return;
    // Of chunks there may be one a byte.
    this.socket.messages++;
    this.exchange.onBody(buffer, start, end);
  }

  /** For the exchange: the tunnel takes bytes again. */
  resumeReading(): void {
    if (this.#ahead.length <= this.context.config.limits.maxBufferedBytesPerConnection) this.socket.resume();
  }

  /** It isn't this connection's turn, or its client doesn't read the answers that it has already. */
  get #stalled(): boolean {
    return this.#postponed || this.socket.out.congested;
  }

  /** Takes up what waits between two requests, then reads on. */
  #goOn(): void {
    if (this.#state !== READING_HEAD || this.#stalled) return;
    if (this.#ahead.length > 0) this.#processAhead();
    const held = this.#isReadingHead() ? this.#stalled : this.exchange.uploadHeld && !this.requestBody.done;
    if (!held) this.resumeReading();
  }

  /** The node stops: idle connections end now, others after their response. */
  stop(): void {
    if (this.idle) this.socket.close();
  }

  sweep(nowMs: number): void {
    if (this.#state === EXCHANGING && this.exchange.sweep(nowMs)) return;
    // What an upgraded connection's silence means, only its protocol knows.
    if (this.#state !== RAW && this.#isStuck(nowMs)) {
      // The client takes nothing of what waits for it.
      if (this.#state === EXCHANGING) this.exchange.abort();
      this.context.limits.hit("write_timeout");
      this.socket.destroy();
      return;
    }
    if (nowMs < this.#deadlineMs) return;
    if (this.#state === EXCHANGING) this.#onBodyPause(nowMs);
    else if (this.#state === READING_HEAD && this.#stalled) {
      this.#deadlineMs = deadline(nowMs, this.context.config.http.readHeaderTimeoutMs);
    } else if (this.#state === READING_HEAD && this.#ahead.length > 0) this.#refuse(HEAD_TIMEOUT);
    else this.socket.destroy();
  }

  /** Parses requests until the bytes or the connection's patience end; returns the offset of the first unused byte. */
  #process(buffer: Buffer, start: number, end: number): number {
    const { requestHead: head, config } = this.context;
    this.#processing = true;
    let at = start;
    let begun = 0;
    while (at < end && this.#state === READING_HEAD) {
      if (begun++ === MAX_REQUESTS_PER_TURN) {
        this.#postponed = true;
        this.context.nextTurn.add(this);
      }
      if (this.#stalled) break;
      const result = parseRequestHead(head, buffer, at, end);
      if (result === HEAD_INCOMPLETE) break;
      if (result === HEAD_INVALID) {
        this.#refuse(head.error ?? HTTP_ERRORS.METHOD);
        at = end;
        break;
      }
      if (head.end - head.start > config.http.maxHeaderBytes) {
        this.#refuse(HTTP_ERRORS.HEAD_SIZE);
        at = end;
        break;
      }
      if (head.targetEnd - head.targetStart > config.limits.maxTargetBytes) {
        this.#refuse(TARGET_SIZE);
        at = end;
        break;
      }
      at = head.end;
      this.#begin(head);
      if (this.#isExchanging()) at = this.#readBody(buffer, at, end);
    }
    this.#processing = false;
    return this.#state === LINGERING || this.#state === OVER ? end : at;
  }

  #isExchanging(): boolean {
    return this.#state === EXCHANGING;
  }

  #isReadingHead(): boolean {
    return this.#state === READING_HEAD;
  }

  #begin(head: RequestHead): void {
    this.#state = EXCHANGING;
    const kind = requestBody(head);
    this.requestBody.reset(kind, head.contentLength, false);
    this.#deadlineMs = this.requestBody.done
      ? Number.POSITIVE_INFINITY
      : deadline(this.context.clock.now(), this.context.config.http.readTimeoutMs);
    if (head.contentLength > this.context.config.limits.maxBodyBytes) this.refuse(head, BODY_SIZE);
    else routeRequest(this, head);
  }

  /** The body of the request under way. Returns the offset of the first byte behind it. */
  #readBody(buffer: Buffer, start: number, end: number): number {
    const body = this.requestBody;
    if (body.done || start === end) return start;
    const at = body.read(buffer, start, end, this);
    if (at < 0) {
      this.exchange.refuse(body.error ?? HTTP_ERRORS.TRUNCATED);
      return end;
    }
    if (body.received > this.context.config.limits.maxBodyBytes) {
      body.done = false;
      this.exchange.refuse(BODY_SIZE);
      return end;
    }
    // The exchange may have ended meanwhile, and a next deadline with it.
    if (this.#state === EXCHANGING) {
      this.#deadlineMs = body.done
        ? Number.POSITIVE_INFINITY
        : deadline(this.context.clock.now(), this.context.config.http.readTimeoutMs);
    }
    return at;
  }

  /** Keeps what was not used: the start of a head, or requests that came early. */
  #keep(buffer: Buffer, start: number, end: number): void {
    if (start >= end) return;
    if (this.#state === HANDED_OVER) {
      this.socket.handler.onBytes(buffer, start, end);
      return;
    }
    const reading = this.#state === READING_HEAD;
    if (!reading && this.#state !== EXCHANGING) return;
    const { budget, clock, config } = this.context;
    if (!reading && budget.exhausted && this.#ahead.length + end - start > SMALL_HEAD_BYTES) {
      // Nobody has promised anything for what was sent ahead: it is asked again on another connection.
      if (!this.#lastRequest) this.context.limits.hit("max_buffered_bytes");
      this.#lastRequest = true;
      this.#ahead.clear();
      this.socket.pause();
      return;
    }
    if (this.#ahead.length === 0 && reading) {
      this.#deadlineMs = deadline(clock.now(), config.http.readHeaderTimeoutMs);
    }
    this.#ahead.append(buffer, start, end);
    if (reading && !this.#stalled) this.#searchHead();
    else if (reading || this.#ahead.length > config.limits.maxBufferedBytesPerConnection) this.#holdBack();
  }

  /** The client has sent as much ahead as it may, or it isn't its turn. */
  #holdBack(): void {
    if (!this.socket.paused && !this.#stalled) this.context.limits.hit("max_buffered_bytes_per_connection");
    this.socket.pause();
  }

  /** Looks whether the kept bytes hold a whole head by now; each byte is looked at once. */
  #searchHead(): void {
    const ahead = this.#ahead;
    const found = this.#finder.find(ahead.buffer, ahead.start, ahead.end);
    if (found === END_INVALID) {
      this.#refuse(this.#finder.error ?? HTTP_ERRORS.METHOD);
    } else if (found === END_UNKNOWN) {
      this.#limitPartialHead();
    } else {
      this.#processAhead();
    }
  }

  /** A head that isn't whole yet is refused as soon as it is clear that it won't pass. */
  #limitPartialHead(): void {
    const { buffer, start, end, length } = this.#ahead;
    const { budget, config } = this.context;
    const lineLimit = config.limits.maxTargetBytes + LINE_EXTRA_BYTES;
    if (length > config.http.maxHeaderBytes) this.#refuse(HTTP_ERRORS.HEAD_SIZE);
    else if (length > lineLimit && !buffer.subarray(start, start + lineLimit).includes(LF)) {
      this.#refuse(TARGET_SIZE);
    } else if (budget.exhausted && end - start > SMALL_HEAD_BYTES) this.#refuse(NO_MEMORY);
  }

  #processAhead(): void {
    const ahead = this.#ahead;
    const { start } = ahead;
    const at = this.#process(ahead.buffer, ahead.start, ahead.end);
    // Lingering or handing the socket over emptied the store.
    if (ahead.length === 0) return;
    if (this.#state === HANDED_OVER) {
      this.socket.handler.onBytes(ahead.buffer, at, ahead.end);
      ahead.clear();
      return;
    }
    ahead.consumeTo(at);
    if (this.#state !== READING_HEAD || ahead.length === 0) return;
    if (this.#stalled) {
      this.socket.pause();
      return;
    }
    if (at > start) {
      const { clock, config } = this.context;
      this.#deadlineMs = deadline(clock.now(), config.http.readHeaderTimeoutMs);
      this.#finder.reset();
      this.#searchHead();
    }
  }

  /** A request that isn't one: nobody was asked, nobody else answers. */
  #refuse(error: HttpError): void {
    this.context.logger.debug("request refused", { "client-ip": this.clientIp, error: error.message });
    this.context.countRefusal(error);
    const { status, message } = error;
    this.writeError({ status, message, close: true, headOnly: false, extra: fieldsOf(error) });
    this.linger();
  }

  #onBodyPause(nowMs: number): void {
    // A client that is told to wait (the tunnel has no room) isn't slow itself.
    if (this.socket.paused) this.#deadlineMs = deadline(nowMs, this.context.config.http.readTimeoutMs);
    else this.exchange.refuse(BODY_TIMEOUT);
  }

  #isStuck(nowMs: number): boolean {
    const { unsentBytes } = this.socket;
    const limitMs = this.context.config.http.writeTimeoutMs;
    if (unsentBytes === 0 || unsentBytes !== this.#unsentBytes || limitMs === 0) {
      this.#unsentBytes = unsentBytes;
      this.#progressMs = nowMs;
      return false;
    }
    return nowMs - this.#progressMs >= limitMs;
  }
}

/** A limit of 0 is none. */
function deadline(nowMs: number, limitMs: number): number {
  return limitMs === 0 ? Number.POSITIVE_INFINITY : nowMs + limitMs;
}
