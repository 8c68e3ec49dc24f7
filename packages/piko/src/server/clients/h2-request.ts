// One request on a stream of an HTTP/2 connection: connects the stream with its exchange. A connection keeps some of these
// objects and reuses them.

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

/** What a request needs from its connection. */
export interface RequestConnection {
  readonly client: Client;
  readonly congested: boolean;
  /** Memory of responses that are blocked by windows. */
  readonly unsent: ByteBudget;
  /** The client's message is malformed: resets the stream. */
  refuse(stream: H2Stream, code: number): void;
  /** The request has ended, and its object can be reused. */
  onRequestOver(request: H2Request): void;
}

/** Maximum fields of the node's own responses. */
const MAX_OWN_FIELDS = 16;

export class H2Request implements NodeClient, StreamHandler {
  readonly client: Client;
  readonly raw: undefined;
  readonly exchange: Exchange;
  readonly #connection: RequestConnection;
  readonly #context: ProxyContext;
  #stream: H2Stream | undefined;
  /** Whether the request is a HEAD, so that its response has no body. */
  #headOnly: boolean;
  /** For an extended CONNECT: its key, whether it has been answered, and data that the client sent too early. */
  #webSocketKey: string | undefined;
  #raw: boolean;
  readonly #early: ByteStore;
  #earlyEnd: boolean;
  /** The content type of a gRPC request, and whether it has no timeouts. */
  #grpcType: string | undefined;
  #streaming: boolean;
  /** The deadline that its client has set, and whether it has expired. */
  #grpcDeadlineMs: number;
  #expired: boolean;
  /** Whether its response is gRPC and has begun, so that errors are reported in trailers. */
  #grpcResponse: boolean;
  /** The announced length of its body or -1, and the number of bytes received. */
  #contentLength: number;
  #received: number;
  /** Deadline for more of its body. */
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

  /** Begins a request. `last`: it has no body. `webSocketKey`: the key of the handshake that replaces an extended CONNECT. */
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

  /** Answers a request whose head was refused. */
  answer(stream: H2Stream, refusal: HttpError, fields: string): void {
    this.#take(stream, true);
    const { message, reason, status } = refusal;
    this.reply({ status, message, reason, endpointId: "", fields });
    this.end(undefined);
  }

  /** Checks the timeouts. */
  sweep(nowMs: number): void {
    this.exchange.sweep(nowMs);
    if (nowMs >= this.#grpcDeadlineMs && this.#stream !== undefined) {
      this.#expired = true;
      this.exchange.onRequestRefused(GRPC_DEADLINE);
      return;
    }
    const stream = this.#stream;
    if (stream === undefined || nowMs < this.#deadlineMs || stream.receiveEnded) return;
    // A client that is held back isn't slow itself.
    if (stream.hasUnconsumed) this.#moveDeadline(nowMs);
    else this.exchange.onRequestRefused(BODY_TIMEOUT);
  }

  /** The client doesn't read the response: resets the stream. */
  onStuck(code: number): void {
    const stream = this.#stream;
    this.#leave();
    this.exchange.onClientGone(REASONS.client_stuck);
    stream?.reset(code);
  }

  // Callbacks of the stream.

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

  // Calls of the exchange.

  get congested(): boolean {
    return this.#connection.congested || (this.#stream?.pendingBytes ?? 0) > 0;
  }

  /** Whether the response may take any time: a gRPC server sends nothing before its first message, and clients set deadlines. */
  get waitsIndefinitely(): boolean {
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
      // A 2xx response to an extended CONNECT would mean that the WebSocket is open.
      const { record } = this.exchange;
      record.reason = REASONS.bad_switch;
      this.reply({ ...NO_SWITCH, endpointId: record.endpointId });
      this.#stream?.end(undefined);
      return;
    }
    this.#grpcResponse = this.#streaming && head.contentLength < 0 && grpcType(head) !== undefined;
    this.#stream?.respond(head, this.#context.dateLine.get(), last);
  }

  /** Answers 200 instead of the service's 101, whose key is checked here (RFC 8441 section 5). */
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

  /** Nothing to do: the socket's outbox sends the bytes of a turn together. */
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

  /** Cuts the response. A gRPC client gets gRPC's own status in trailers; it treats a response without one as cut. */
  abort(why: Reason): void {
    const stream = this.#stream;
    const isGrpc = this.#grpcResponse;
    const status = this.#expired ? DEADLINE_EXCEEDED : UNAVAILABLE;
    const message = this.#expired ? GRPC_DEADLINE.message : why.message;
    this.#leave();
    if (isGrpc) stream?.end(Buffer.from(grpcStatusLines(status, message), "latin1"));
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

  /** Resets the stream of a body that doesn't match its head. */
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

/** The response to a WebSocket handshake that the service answered with another 2xx. */
const NO_SWITCH: LocalReply = {
  status: 502,
  reason: REASONS.bad_switch,
  endpointId: "",
  message: REASONS.bad_switch.message,
  fields: "",
};

/** Shared by all requests; used only within one call of `reply`. */
const ownHead = new ResponseHead(MAX_OWN_FIELDS);
