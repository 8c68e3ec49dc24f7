// One request on a stream of an HTTP/2 connection, between the stream and its exchange. A connection keeps as many of
// these objects as it had concurrent requests, and reuses them.

import { acceptKey } from "@piko/tunnel";
import type { HttpError } from "../../http/errors.js";
import { REASONS, type Reason } from "../../http/reasons.js";
import type { LocalReply, Trailers } from "../../http/exchange/client-side.js";
import type { Exchange } from "../../http/exchange/exchange.js";
import { emptyResponse, errorResponse } from "../../http/h1/error-response.js";
import { parseResponseHead } from "../../http/h1/parse-response-head.js";
import { FIELD_SEC_WEBSOCKET_ACCEPT } from "../../http/field-names.js";
import { findField } from "../../http/find-field.js";
import {
  DEADLINE_EXCEEDED,
  grpcRequestType,
  grpcStatusLines,
  grpcTimeoutMs,
  grpcType,
  isStreaming,
  UNAVAILABLE,
} from "../../http/grpc.js";
import { CANCEL, ENHANCE_YOUR_CALM, INTERNAL_ERROR, PROTOCOL_ERROR } from "../../http/h2/error-codes.js";
import { filterTrailers } from "../../http/h2/filter-trailers.js";
import type { H2Stream, StreamHandler } from "../../http/h2/stream.js";
import { type RequestHead, ResponseHead } from "../../http/head.js";
import type { ByteBudget } from "../../net/byte-budget.js";
import { ByteStore } from "../../net/byte-store.js";
import { deadlineAfter } from "../../net/deadline-sweep.js";
import { createExchange } from "../exchange/create-exchange.js";
import type { NodeClient } from "../exchange/node-client.js";
import type { ProxyContext } from "../exchange/proxy-context.js";
import { BODY_SIZE, BODY_TIMEOUT, GRPC_DEADLINE } from "../exchange/proxy-limits.js";
import { type Client, senderOf } from "./client.js";

/** What a request asks of its connection. */
export interface RequestConnection {
  readonly client: Client;
  readonly congested: boolean;
  /** Memory of responses that wait for windows. */
  readonly unsent: ByteBudget;
  /** The client's message is none. */
  refuse(stream: H2Stream, code: number): void;
  /** The request is over, and its object free. */
  onRequestOver(request: H2Request): void;
}

/** Fields of the node's own answers; there are few. */
const MAX_OWN_FIELDS = 16;

export class H2Request implements NodeClient, StreamHandler {
  readonly client: Client;
  readonly raw: undefined;
  readonly exchange: Exchange;
  readonly #connection: RequestConnection;
  readonly #context: ProxyContext;
  #stream: H2Stream | undefined;
  /** The request is a HEAD: its answer has no body. */
  #headOnly: boolean;
  /** Of an extended CONNECT; whether its answer has come; and what comes before that, which nobody may yet. */
  #webSocketKey: string | undefined;
  #raw: boolean;
  readonly #early: ByteStore;
  #earlyEnd: boolean;
  /** The content type of a gRPC request, and whether it is one that may last. */
  #grpcType: string | undefined;
  #streaming: boolean;
  /** Until when its client waits for the answer to it; and it is over. */
  #grpcDeadlineMs: number;
  #expired: boolean;
  /** Its response is gRPC, too, and has begun: its end is reported in trailers. */
  #grpcResponse: boolean;
  /** Bytes that its body has by its own account, or -1; and those that have come. */
  #contentLength: number;
  #received: number;
  /** Until when more of its body has to come. */
  #deadlineMs: number;

  constructor(connection: RequestConnection, context: ProxyContext) {
    this.client = connection.client;
    this.raw = undefined;
    this.#connection = connection;
    this.#context = context;
    this.#stream = undefined;
    this.#headOnly = false;
    this.#webSocketKey = undefined;
    this.#raw = false;
    this.#early = new ByteStore(context.budget);
    this.#earlyEnd = false;
    this.#grpcType = undefined;
    this.#streaming = false;
    this.#grpcDeadlineMs = Number.POSITIVE_INFINITY;
    this.#expired = false;
    this.#grpcResponse = false;
    this.#contentLength = -1;
    this.#received = 0;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    this.exchange = createExchange(this, context);
  }

  /** A request has come. `last`: without a body. `webSocketKey`: it is a WebSocket's handshake, made for it with this key. */
  begin(stream: H2Stream, head: RequestHead, last: boolean, webSocketKey: string | undefined): void {
    this.#take(stream, last || webSocketKey !== undefined);
    this.#webSocketKey = webSocketKey;
    this.#headOnly = head.method === "HEAD";
    this.#contentLength = head.contentLength;
    this.#grpcType = grpcRequestType(head);
    if (isStreaming(this.#grpcType)) {
      this.#streaming = true;
      this.#deadlineMs = Number.POSITIVE_INFINITY;
      this.#grpcDeadlineMs = this.#context.clock.now() + grpcTimeoutMs(head);
    }
    this.exchange.onRequest(head, last || webSocketKey !== undefined);
  }

  /** Its head is refused, by one that understands it. */
  answer(stream: H2Stream, refusal: HttpError, fields: string): void {
    this.#take(stream, true);
    const { message, reason, status } = refusal;
    this.reply({ status, message, reason, endpointId: "", fields });
    this.end(undefined);
  }

  /** Looks at the time limits. */
  sweep(nowMs: number): void {
    this.exchange.sweep(nowMs);
    if (nowMs >= this.#grpcDeadlineMs && this.#stream !== undefined) {
      this.#expired = true;
      this.exchange.onRequestRefused(GRPC_DEADLINE);
      return;
    }
    const stream = this.#stream;
    if (stream === undefined || nowMs < this.#deadlineMs || stream.receiveEnded) return;
    // A client that has to wait isn't slow itself.
    if (stream.holds) this.#moveDeadline(nowMs);
    else this.exchange.onRequestRefused(BODY_TIMEOUT);
  }

  /** The client takes nothing of the response. */
  onStuck(code: number): void {
    const stream = this.#stream;
    this.#leave();
    this.exchange.onClientGone(REASONS.client_stuck);
    stream?.reset(code);
  }

  // The stream.

  onData(buffer: Buffer, start: number, end: number): void {
    if (this.#raw) this.exchange.onRequestBody(buffer, start, end);
    else if (this.#webSocketKey !== undefined) this.#early.append(buffer, start, end);
    else this.#onBody(buffer, start, end);
  }

  #onBody(buffer: Buffer, start: number, end: number): void {
    const count = end - start;
    this.#received += count;
    if (this.#contentLength >= 0 && this.#received > this.#contentLength) this.#refuse();
    else if (this.#received > this.#context.config.limits.maxBodyBytes) {
      this.exchange.onRequestRefused(BODY_SIZE);
    } else {
      this.#moveDeadline(this.#context.clock.now());
      this.exchange.onRequestBody(buffer, start, end);
    }
  }

  onEnd(lines: Buffer | undefined): void {
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    if (this.#webSocketKey !== undefined) {
      if (this.#raw) this.exchange.onRequestEnd(undefined);
      else this.#earlyEnd = true;
      return;
    }
    if (this.#contentLength >= 0 && this.#received !== this.#contentLength) {
      this.#refuse();
      return;
    }
    const trailers = lines === undefined ? undefined : filterTrailers(lines);
    if (trailers === null) this.#refuse();
    else this.exchange.onRequestEnd(trailers);
  }

  onWritable(): void {
    this.exchange.onClientWritable();
  }

  onReset(): void {
    this.exchange.onClientGone(this.#context.gone);
    this.#leave();
  }

  // The exchange.

  get congested(): boolean {
    return this.#connection.congested || (this.#stream?.pendingBytes ?? 0) > 0;
  }

  /** A gRPC server sends nothing before its first message, and its client says how long it waits. */
  get patient(): boolean {
    return this.#streaming;
  }

  senderOf(head: RequestHead): string {
    return senderOf(head, this.client, this.#context);
  }

  inform(head: ResponseHead): void {
    this.#stream?.respond(head, undefined, false);
  }

  respond(head: ResponseHead, last: boolean): void {
    if (this.#webSocketKey !== undefined && head.status < 300) {
      // To an extended CONNECT it would say that there is a WebSocket.
      const { record } = this.exchange;
      record.reason = REASONS.bad_switch;
      this.reply({ ...NO_SWITCH, endpointId: record.endpointId });
      this.#stream?.end(undefined);
      return;
    }
    this.#grpcResponse = this.#streaming && head.contentLength < 0 && grpcType(head) !== undefined;
    this.#stream?.respond(head, this.#context.dateLine.get(), last);
  }

  /** A 200 replaces the 101, whose key is checked here (RFC 8441 section 5). */
  switchTo(head: ResponseHead): void {
    const accept = findField(head, FIELD_SEC_WEBSOCKET_ACCEPT);
    if (this.#webSocketKey === undefined || accept !== acceptKey(this.#webSocketKey)) {
      this.exchange.onClientGone(REASONS.bad_switch);
      this.abort(REASONS.bad_switch);
      return;
    }
    this.#raw = true;
    this.#stream?.open(head);
    const early = this.#early;
    const { buffer, end, start } = early;
    if (end > start) this.exchange.onRequestBody(buffer, start, end);
    early.clear();
    if (this.#earlyEnd) this.exchange.onRequestEnd(undefined);
  }

  write(buffer: Buffer, start: number, end: number): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    stream.write(buffer, start, end);
    if (stream.pendingBytes === 0 || !this.#connection.unsent.exhausted) return;
    this.#context.limits.hit("http2_max_unsent_bytes");
    this.onStuck(ENHANCE_YOUR_CALM);
  }

  /** The socket's outbox gathers what a turn brings. */
  flush(): void {}

  end(trailers: Trailers | undefined): void {
    const stream = this.#stream;
    if (this.#raw) {
      stream?.end(undefined);
      return;
    }
    this.#leave();
    stream?.end(trailers);
  }

  close(): void {
    const stream = this.#stream;
    stream?.end(undefined);
    this.#leave();
  }

  reply({ endpointId, fields, message, reason, status }: LocalReply): number {
    const headOnly = this.#headOnly;
    const dateLine = this.#context.dateLine.get();
    const options = {
      reason,
      endpointId,
      grpcType: this.#grpcType,
      grpcStatus: this.#expired ? DEADLINE_EXCEEDED : undefined,
    };
    const text =
      message === undefined
        ? emptyResponse(dateLine, false)
        : errorResponse({ status, message, dateLine, close: false, headOnly, extra: fields, ...options });
    const bytes = Buffer.from(text, "latin1");
    parseResponseHead(ownHead, bytes, 0, bytes.length);
    const last = ownHead.end === bytes.length;
    this.#stream?.respond(ownHead, undefined, last);
    if (!last) this.#stream?.write(bytes, ownHead.end, bytes.length);
    return bytes.length - ownHead.end;
  }

  consume(count: number): void {
    this.#stream?.consume(count);
  }

  /** A gRPC client gets gRPC's own status; it treats a response without one as cut. */
  abort(why: Reason): void {
    const stream = this.#stream;
    const told = this.#grpcResponse;
    const status = this.#expired ? DEADLINE_EXCEEDED : UNAVAILABLE;
    const message = this.#expired ? GRPC_DEADLINE.message : why.message;
    this.#leave();
    if (told) stream?.end(Buffer.from(grpcStatusLines(status, message), "latin1"));
    else stream?.reset(this.#raw ? CANCEL : INTERNAL_ERROR);
  }

  #take(stream: H2Stream, last: boolean): void {
    this.#stream = stream;
    stream.handler = this;
    this.#headOnly = false;
    this.#webSocketKey = undefined;
    this.#raw = false;
    this.#earlyEnd = false;
    this.#grpcType = undefined;
    this.#streaming = false;
    this.#grpcDeadlineMs = Number.POSITIVE_INFINITY;
    this.#expired = false;
    this.#grpcResponse = false;
    this.#contentLength = -1;
    this.#received = 0;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    if (!last) this.#moveDeadline(this.#context.clock.now());
  }

  #moveDeadline(nowMs: number): void {
    if (this.#streaming) return;
    this.#deadlineMs = deadlineAfter(nowMs, this.#context.config.http.readTimeoutMs);
  }

  /** The body isn't what the head has said. */
  #refuse(): void {
    const stream = this.#stream;
    this.exchange.onClientGone(REASONS.bad_request);
    this.#leave();
    if (stream !== undefined) this.#connection.refuse(stream, PROTOCOL_ERROR);
  }

  #leave(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#stream = undefined;
    this.#early.clear();
    stream.leave();
    this.#connection.onRequestOver(this);
  }
}

/** The answer to a handshake that is answered as a request. */
const NO_SWITCH: LocalReply = {
  status: 502,
  reason: REASONS.bad_switch,
  endpointId: "",
  message: REASONS.bad_switch.message,
  fields: "",
};

/** Within one reply. */
const ownHead = new ResponseHead(MAX_OWN_FIELDS);
