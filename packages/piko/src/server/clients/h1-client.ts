// One HTTP/1.1 connection of a client: reads requests strictly one after another, hands each to the exchange, writes what
// the exchange answers, and keeps the time limits of the client's side. Pipelined requests wait here, in order, until the
// exchange before them is over.

import type { ByteSocket, SocketHandler } from "@piko/tunnel";
import { requestBody } from "../../http/body-framing.js";
import { BodyReader, type BodySink } from "../../http/h1/body-reader.js";
import { errorResponse } from "../../http/h1/error-response.js";
import { END_INVALID, END_UNKNOWN, HeadEndFinder } from "../../http/h1/find-head-end.js";
import { parseRequestHead } from "../../http/h1/parse-request-head.js";
import { HTTP_ERRORS, type HttpError } from "../../http/errors.js";
import { ABORT, type AbortReason } from "../../http/exchange/abort-reason.js";
import type { ClientSide, LocalReply, Trailers } from "../../http/exchange/client-side.js";
import type { Exchange } from "../../http/exchange/exchange.js";
import { HEAD_INCOMPLETE, HEAD_INVALID, type RequestHead, type ResponseHead } from "../../http/head.js";
import { SMALL_HEAD_BYTES } from "../../net/byte-budget.js";
import { ByteStore } from "../../net/byte-store.js";
import { deadlineAfter, type Expiring } from "../../net/deadline-sweep.js";
import type { Postponed } from "../../net/next-turn.js";
import { WriteProgress } from "../../net/write-progress.js";
import { forwardedClient } from "../exchange/forwarded-fields.js";
import { partialHeadRefusal } from "./partial-head.js";
import { createExchange } from "../exchange/create-exchange.js";
import type { ProxyContext } from "../exchange/proxy-context.js";
import { BODY_SIZE, BODY_TIMEOUT, fieldsOf, HEAD_TIMEOUT, TARGET_SIZE } from "../exchange/proxy-limits.js";
import { H1Response } from "./h1-response.js";

/**
 * Requests that a connection may begin in one go. What is answered at once (`OPTIONS *`, a refusal) would otherwise let
 * one client's pipeline of tiny requests keep all others waiting.
 */
const MAX_REQUESTS_PER_TURN = 32;

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

export class H1Client implements ClientSide, SocketHandler, BodySink, Expiring, Postponed {
  readonly socket: ByteSocket;
  readonly client: Client;
  readonly #context: ProxyContext;
  readonly #exchange: Exchange;
  readonly #onGone: (connection: H1Client) => void;
  #state: number;
  /** `#process` is at work: what ends an exchange meanwhile leaves the next request to it. */
  #processing: boolean;
  /** The connection has had its share of this turn, and goes on in the next one. */
  #postponed: boolean;
  /** Requests sent ahead were dropped, so the response under way is the last. */
  #lastRequest: boolean;
  /** What is for the next request; behind a request for an upgrade, for the other protocol. */
  readonly #ahead: ByteStore;
  readonly #finder: HeadEndFinder;
  /** When the current wait for the client ends in a refusal or a close; Infinity for none. */
  #deadlineMs: number;
  readonly #writes: WriteProgress;
  // The request under way.
  readonly #requestBody: BodyReader;
  /** Bytes that the exchange holds: while it does, no more are read. */
  #heldBytes: number;
  // Its response.
  readonly #response: H1Response;

  /** Takes over an accepted socket; bytes that were read from it already go to `onBytes`. */
  constructor(
    context: ProxyContext,
    socket: ByteSocket,
    client: Client,
    onGone: (connection: H1Client) => void,
  ) {
    this.#context = context;
    this.socket = socket;
    this.client = client;
    this.#onGone = onGone;
    this.#state = READING_HEAD;
    this.#processing = false;
    this.#postponed = false;
    this.#lastRequest = false;
    this.#ahead = new ByteStore(context.budget);
    this.#finder = new HeadEndFinder();
    this.#deadlineMs = deadlineAfter(context.clock.now(), context.config.http.readHeaderTimeoutMs);
    this.#writes = new WriteProgress();
    this.#requestBody = new BodyReader();
    this.#heldBytes = 0;
    this.#response = new H1Response(socket.out, context.dateLine);
    this.#exchange = createExchange(this, context);
    socket.handler = this;
    context.sweep.add(this);
  }

  // The socket.

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
        this.#hand(buffer, start, end);
        break;
    }
  }

  onEnd(): void {
    if (this.#state === RAW) {
      this.#exchange.onRequestEnd(undefined);
      return;
    }
    // A client that ends while its request is under way is gone, as it is for nginx and Go: waiting for its answer to
    // fail would keep the service at work for nobody.
    if (this.#state === EXCHANGING) this.#exchange.onClientGone(ABORT.client_gone);
    if (this.#state !== OVER) this.socket.close();
  }

  onDrain(): void {
    this.#exchange.onClientWritable();
    this.#goOn();
  }

  onClose(): void {
    if (this.#state === EXCHANGING || this.#state === RAW) this.#exchange.onClientGone(ABORT.client_gone);
    this.release();
  }

  onNextTurn(): void {
    this.#postponed = false;
    this.#goOn();
  }

  sweep(nowMs: number): void {
    this.#exchange.sweep(nowMs);
    // What an upgraded connection's silence means, only its protocol knows.
    if (this.#state !== RAW && this.#isStuck(nowMs)) {
      if (this.#state === EXCHANGING) this.#exchange.onClientGone(ABORT.client_stuck);
      this.#context.limits.hit("write_timeout");
      this.socket.reset();
      return;
    }
    if (nowMs < this.#deadlineMs) return;
    if (this.#state === EXCHANGING) this.#onBodyPause(nowMs);
    else if (this.#state === READING_HEAD && this.#stalled) {
      this.#deadlineMs = deadlineAfter(nowMs, this.#context.config.http.readHeaderTimeoutMs);
    } else if (this.#state === READING_HEAD && this.#ahead.length > 0) this.#refuse(HEAD_TIMEOUT);
    else this.socket.destroy();
  }

  // The port.

  /** The node stops: idle connections end now, others after their response. */
  stop(): void {
    if (this.#state === READING_HEAD && this.#ahead.length === 0) this.socket.close();
  }

  /** Leaves the socket to a handler that replaces this one; `release` follows when it is closed. */
  handOver(): ByteSocket {
    this.#state = HANDED_OVER;
    this.#context.sweep.remove(this);
    return this.socket;
  }

  /** The socket is closed. Idempotent. */
  release(): void {
    if (this.#state === OVER) return;
    this.#state = OVER;
    this.#ahead.clear();
    this.#exchange.release();
    this.#context.sweep.remove(this);
    this.#onGone(this);
  }

  // The exchange.

  get congested(): boolean {
    return this.socket.out.congested;
  }

  senderOf(head: RequestHead): string {
    const { address, trusted } = this.client;
    const { accessLog, config } = this.#context;
    if (!trusted || !accessLog.enabled) return address;
    return forwardedClient(head, address, (one) => config.trustedProxies.includes(one));
  }

  inform(head: ResponseHead): void {
    this.#response.inform(head);
  }

  respond(head: ResponseHead, _last: boolean): void {
    this.#response.respond(head, this.#mayKeepAlive());
  }

  switchTo(head: ResponseHead, halfClose: boolean): void {
    this.#response.switch(head, halfClose);
    this.#state = RAW;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    const { buffer, start, end } = this.#ahead;
    if (end > start) this.#hand(buffer, start, end);
    this.#ahead.clear();
    if (this.#heldBytes === 0) this.socket.resume();
  }

  write(buffer: Buffer, start: number, end: number): void {
    if (this.#state === RAW) this.socket.out.write(buffer, start, end);
    else this.#response.write(buffer, start, end);
  }

  /** The socket's outbox gathers what a turn brings. */
  flush(): void {}

  end(trailers: Trailers | undefined): void {
    if (this.#state === RAW) {
      this.socket.end();
      return;
    }
    this.#response.end(trailers);
    this.#endTurn();
  }

  close(): void {
    this.#linger();
  }

  reply(reply: LocalReply): number {
    return this.#response.reply(reply, this.#mayKeepAlive());
  }

  consume(count: number): void {
    this.#heldBytes -= count;
    if (this.#heldBytes === 0) this.#resumeReading();
  }

  abort(_why: AbortReason): void {
    // Only a body that ends with its connection needs a reset to tell its end from a cut.
    if (this.#state === RAW || this.#response.untilClose) this.socket.reset();
    else this.socket.close();
  }

  // Requests.

  /** Parses requests until the bytes or the connection's patience end; returns the offset of the first unused byte. */
  #process(buffer: Buffer, start: number, end: number): number {
    const { requestHead: head, config } = this.#context;
    this.#processing = true;
    let at = start;
    let begun = 0;
    while (at < end && this.#state === READING_HEAD) {
      if (begun++ === MAX_REQUESTS_PER_TURN) {
        this.#postponed = true;
        this.#context.nextTurn.add(this);
      }
      if (this.#stalled) break;
      const result = parseRequestHead(head, buffer, at, end);
      if (result === HEAD_INCOMPLETE) break;
      const refusal =
        result === HEAD_INVALID
          ? (head.error ?? HTTP_ERRORS.METHOD)
          : head.end - head.start > config.http.maxHeaderBytes
            ? HTTP_ERRORS.HEAD_SIZE
            : head.targetEnd - head.targetStart > config.limits.maxTargetBytes
              ? TARGET_SIZE
              : undefined;
      if (refusal !== undefined) {
        this.#refuse(refusal);
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

  #begin(head: RequestHead): void {
    this.#state = EXCHANGING;
    const body = this.#requestBody;
    body.reset(requestBody(head), head.contentLength);
    this.#response.begin(head);
    this.#heldBytes = 0;
    this.#deadlineMs = body.done
      ? Number.POSITIVE_INFINITY
      : deadlineAfter(this.#context.clock.now(), this.#context.config.http.readTimeoutMs);
    this.#exchange.onRequest(head, body.done);
  }

  /** The body of the request under way. Returns the offset of the first byte behind it. */
  #readBody(buffer: Buffer, start: number, end: number): number {
    const body = this.#requestBody;
    if (body.done || start === end) return start;
    const at = body.read(buffer, start, end, this);
    if (at < 0) {
      this.#exchange.onRequestRefused(body.error ?? HTTP_ERRORS.TRUNCATED);
      return end;
    }
    if (body.received > this.#context.config.limits.maxBodyBytes) {
      body.done = false;
      this.#exchange.onRequestRefused(BODY_SIZE);
      return end;
    }
    // The exchange may have ended meanwhile, and a next deadline with it.
    if (this.#state !== EXCHANGING) return at;
    if (body.done) {
      this.#deadlineMs = Number.POSITIVE_INFINITY;
      this.#exchange.onRequestEnd(body.trailers);
    } else {
      this.#deadlineMs = deadlineAfter(this.#context.clock.now(), this.#context.config.http.readTimeoutMs);
    }
    return at;
  }

  /** A piece of the request's body, from its reader; what is above the limit never reaches a service. */
  onBody(buffer: Buffer, start: number, end: number): void {
    // Of chunks there may be one a byte.
    this.socket.messages++;
    if (this.#requestBody.received > this.#context.config.limits.maxBodyBytes) return;
    this.#hand(buffer, start, end);
  }

  /** Hands bytes to the exchange, and reads no more while it holds them. */
  #hand(buffer: Buffer, start: number, end: number): void {
    this.#heldBytes += end - start;
    this.#exchange.onRequestBody(buffer, start, end);
    if (this.#heldBytes > 0) this.socket.pause();
  }

  /** Keeps what was not used: the start of a head, or requests that came early. */
  #keep(buffer: Buffer, start: number, end: number): void {
    if (start >= end) return;
    if (this.#state === HANDED_OVER) {
      this.socket.handler.onBytes(buffer, start, end);
      return;
    }
    if (this.#state === RAW) {
      this.#hand(buffer, start, end);
      return;
    }
    const reading = this.#state === READING_HEAD;
    if (!reading && this.#state !== EXCHANGING) return;
    const { budget, clock, config } = this.#context;
    if (!reading && budget.exhausted && this.#ahead.length + end - start > SMALL_HEAD_BYTES) {
      // Nobody has promised anything for what was sent ahead: it is asked again on another connection.
      if (!this.#lastRequest) this.#context.limits.hit("max_buffered_bytes");
      this.#lastRequest = true;
      this.#ahead.clear();
      this.socket.pause();
      return;
    }
    if (this.#ahead.length === 0 && reading) {
      this.#deadlineMs = deadlineAfter(clock.now(), config.http.readHeaderTimeoutMs);
    }
    this.#ahead.append(buffer, start, end);
    if (reading && !this.#stalled) this.#searchHead();
    else if (reading || this.#ahead.length > config.limits.maxBufferedBytesPerConnection) this.#holdBack();
  }

  /** The client has sent as much ahead as it may, or it isn't its turn. */
  #holdBack(): void {
    if (!this.socket.paused && !this.#stalled) this.#context.limits.hit("max_buffered_bytes_per_connection");
    this.socket.pause();
  }

  /** Looks whether the kept bytes hold a whole head by now; each byte is looked at once. */
  #searchHead(): void {
    const ahead = this.#ahead;
    const found = this.#finder.find(ahead.buffer, ahead.start, ahead.end);
    if (found === END_INVALID) {
      this.#refuse(this.#finder.error ?? HTTP_ERRORS.METHOD);
    } else if (found === END_UNKNOWN) {
      const refusal = partialHeadRefusal(ahead, this.#context);
      if (refusal !== undefined) this.#refuse(refusal);
    } else {
      this.#processAhead();
    }
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
      const { clock, config } = this.#context;
      this.#deadlineMs = deadlineAfter(clock.now(), config.http.readHeaderTimeoutMs);
      this.#finder.reset();
      this.#searchHead();
    }
  }

  // Turns.

  /** It isn't this connection's turn, or its client doesn't read the answers that it has already. */
  get #stalled(): boolean {
    return this.#postponed || this.socket.out.congested;
  }

  #mayKeepAlive(): boolean {
    return !this.#context.closing && !this.#lastRequest && this.#requestBody.done;
  }

  /** The response is out. The connection goes on with the next request, or ends. */
  #endTurn(): void {
    if (this.#state === OVER) return;
    // A response whose head went out before the node began to stop couldn't say that it is the last.
    const last = this.#lastRequest || (this.#context.draining && this.#ahead.length === 0);
    if (!this.#response.keepAlive || last || !this.#requestBody.done) {
      this.#linger();
      return;
    }
    this.#state = READING_HEAD;
    this.#deadlineMs = deadlineAfter(this.#exchange.record.endMs, this.#context.config.http.idleTimeoutMs);
    this.#finder.reset();
    // Otherwise the loop that began the request goes on.
    if (this.#processing) this.#resumeReading();
    else this.#goOn();
  }

  /** Takes up what waits between two requests, then reads on. */
  #goOn(): void {
    if (this.#state !== READING_HEAD || this.#stalled) return;
    if (this.#ahead.length > 0) this.#processAhead();
    const held = this.#isExchanging() ? this.#heldBytes > 0 : this.#stalled;
    if (!held) this.#resumeReading();
  }

  #resumeReading(): void {
    if (this.#ahead.length <= this.#context.config.limits.maxBufferedBytesPerConnection) this.socket.resume();
  }

  /** Ends the connection behind what is written, once the client has read it: behind a 101 without a limit. */
  #linger(): void {
    if (this.#state === OVER) return;
    if (this.#state !== RAW) this.#state = LINGERING;
    this.#ahead.clear();
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    this.socket.close();
  }

  /** A request that isn't one: nobody was asked, nobody else answers. */
  #refuse(error: HttpError): void {
    const { dateLine, logger } = this.#context;
    logger.debug("request refused", { "client-ip": this.client.address, error: error.message });
    this.#context.onRefused(error);
    const { status, message } = error;
    const extra = fieldsOf(error);
    this.socket.out.writeLatin1(
      errorResponse({ status, message, dateLine: dateLine.get(), close: true, headOnly: false, extra }),
    );
    this.#linger();
  }

  #onBodyPause(nowMs: number): void {
    // A client that is told to wait (the tunnel has no room) isn't slow itself.
    if (this.socket.paused) this.#deadlineMs = deadlineAfter(nowMs, this.#context.config.http.readTimeoutMs);
    else this.#exchange.onRequestRefused(BODY_TIMEOUT);
  }

  /** The client takes nothing of what waits for it. */
  #isStuck(nowMs: number): boolean {
    const limitMs = this.#context.config.http.writeTimeoutMs;
    return limitMs !== 0 && this.#writes.stuckMs(this.socket, nowMs) >= limitMs;
  }
}
