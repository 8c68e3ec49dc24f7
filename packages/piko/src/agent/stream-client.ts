// The client's side of an agent's exchange: one stream of the tunnel, which carries one request and its response as
// HTTP/1.1 messages. Reused for one stream after another.

import type { StreamHandler, YamuxStream } from "@piko/tunnel";
import { requestBody } from "../http/body-framing.js";
import { HTTP_ERRORS, type HttpError } from "../http/errors.js";
import { REASONS, type Reason } from "../http/reasons.js";
import type { ClientSide, LocalReply, Trailers } from "../http/exchange/client-side.js";
import { Exchange } from "../http/exchange/exchange.js";
import { BODY_INVALID, BodyReader, type BodySink } from "../http/h1/body-reader.js";
import { errorBody, errorResponse } from "../http/h1/error-response.js";
import { END_INVALID, END_UNKNOWN, HeadEndFinder } from "../http/h1/find-head-end.js";
import { parseRequestHead } from "../http/h1/parse-request-head.js";
import {
  FRAMING_AS_IS,
  FRAMING_CHUNKED,
  FRAMING_NONE,
  type ResponseRewrite,
} from "../http/h1/rewrite-response-head.js";
import { writeBody, writeLastChunk } from "../http/h1/write-body.js";
import { grpcRequestType, isStreaming } from "../http/grpc.js";
import { HEAD_COMPLETE, HEAD_INCOMPLETE, type RequestHead, type ResponseHead } from "../http/head.js";
import { ByteStore } from "../net/byte-store.js";
import { RequestRecord } from "../observability/request-record.js";
import type { ServedBy } from "../observability/served-by.js";
import { type HttpService, MAX_REQUEST_HEAD_BYTES } from "./http-service.js";
import { ServiceDispatch } from "./service-dispatch.js";
import { StreamWriter } from "./stream-writer.js";

// Phases of the stream.
const READING_HEAD = 0;
/** A request is in progress. */
const EXCHANGING = 1;
/** After a 101. */
const RAW = 2;
/** The response is complete, but the stream hasn't accepted all of it yet. */
const DRAINING = 3;
const OVER = 4;

const INTERIM: ResponseRewrite = {
  framing: FRAMING_NONE,
  connectionClose: false,
  keepAliveHttp10: false,
  dateLine: undefined,
  halfClose: false,
  fromService: true,
};

/** Handler of a stream whose exchange has finished: anything that still arrives is ignored. */
const FINISHED: StreamHandler = { onData() {}, onEnd() {}, onWritable() {}, onReset() {} };

export class StreamClient implements ClientSide, StreamHandler, BodySink {
  readonly #service: HttpService;
  readonly #giveBack: (client: StreamClient) => boolean;
  readonly #exchange: Exchange;
  readonly #writer: StreamWriter;
  readonly #requestBody: BodyReader;
  readonly #rewrite: ResponseRewrite;
  readonly #finder: HeadEndFinder;
  /** A head that arrives in parts; later, bytes that the client of an upgrade sends before the 101. Both are rare. */
  readonly #held: ByteStore;
  #stream: YamuxStream | undefined;
  /** The node supports half-close. A Go node's FIN means that it has closed both directions. */
  #halfClose: boolean;
  #phase: number;
  #headOnly: boolean;
  /** The content type of a gRPC request. */
  #grpcType: string | undefined;
  #upgrade: boolean;
  #chunking: boolean;
  /** The node no longer reads: further bytes of the service can't be delivered. */
  #discarding: boolean;
  /** The raw direction to the node ends when the queued bytes have been sent. */
  #ending: boolean;
  /** Bytes received in this callback that the exchange or `held` keeps: they don't open the stream's window yet. */
  #handed: number;

  /** `giveBack`: called when a stream has ended; returns true if this object is kept for another one. */
  constructor(service: HttpService, giveBack: (client: StreamClient) => boolean) {
    this.#service = service;
    this.#giveBack = giveBack;
    this.#writer = new StreamWriter(service.scratch);
    this.#requestBody = new BodyReader();
    this.#rewrite = { ...INTERIM };
    this.#finder = new HeadEndFinder();
    this.#held = new ByteStore();
    this.#stream = undefined;
    this.#halfClose = false;
    this.#phase = OVER;
    this.#headOnly = false;
    this.#grpcType = undefined;
    this.#upgrade = false;
    this.#chunking = false;
    this.#discarding = false;
    this.#ending = false;
    this.#handed = 0;
    this.#exchange = new Exchange(this, new RequestRecord(service), service, (exchange) => {
      const dispatch = new ServiceDispatch(exchange, service.calls, service.maxReplayBytes);
      return { dispatch, lifecycle: dispatch };
    });
    const { trace } = this.#exchange.record;
    this.#exchange.rewrite = trace === undefined ? service.rewrite : { ...service.rewrite, trace };
  }

  /** Accepts a stream that a node opened, and becomes its handler. `node`: which node, for the log. */
  open(stream: YamuxStream, halfClose: boolean, node: ServedBy): void {
    this.#stream = stream;
    this.#exchange.record.unserved = node;
    this.#halfClose = halfClose;
    this.#phase = READING_HEAD;
    this.#discarding = false;
    this.#ending = false;
    this.#writer.begin(stream);
    this.#finder.reset();
  }

  // Events of the stream.

  onData(buffer: Buffer, start: number, end: number): void {
    const stream = this.#stream;
    this.#handed = 0;
    switch (this.#phase) {
      case READING_HEAD:
        this.#readHead(buffer, start, end);
        break;
      case EXCHANGING:
        this.#readBody(buffer, start, end);
        break;
      case RAW:
        this.#hand(buffer, start, end);
        break;
    }
    if (this.#stream === stream) stream?.consume(end - start - this.#handed);
  }

  onEnd(): void {
    if (this.#phase === RAW) {
      if (this.#halfClose) this.#exchange.onRequestEnd(undefined);
      else this.#onGoEnd();
      return;
    }
    // As for nginx and Go, a peer that ends its direction before the response is complete is gone.
    this.#exchange.onClientGone(REASONS.client_gone);
    this.#finish(true);
  }

  onReset(): void {
    this.#exchange.onClientGone(REASONS.client_gone);
    this.#finish(true);
  }

  onWritable(): void {
    if (!this.#writer.resume()) return;
    if (this.#ending) this.#stream?.end();
    if (this.#phase === DRAINING) this.#finish(false);
    else this.#exchange.onClientWritable();
  }

  /** Called by the body reader. */
  onBody(buffer: Buffer, start: number, end: number): void {
    this.#hand(buffer, start, end);
  }

  // Called by the exchange.

  get congested(): boolean {
    return this.#writer.blocked;
  }

  /** Not known: nodes send the requests of many clients. */
  senderOf(): undefined {
    return undefined;
  }

  inform(head: ResponseHead): void {
    this.#writer.addHead(head, INTERIM);
    this.#writer.flush();
  }

  respond(head: ResponseHead, last: boolean): void {
    // Always framed, so that a node can tell the end of a body from a cut.
    this.#chunking = !last && head.contentLength === -1;
    this.#rewrite.framing = this.#chunking ? FRAMING_CHUNKED : FRAMING_AS_IS;
    this.#writer.addHead(head, this.#rewrite);
  }

  switchTo(head: ResponseHead): void {
    this.#writer.addHead(head, INTERIM);
    this.#writer.flush();
    this.#phase = RAW;
    const held = this.#held;
    if (held.length === 0) return;
    const { buffer, start, end } = held;
    held.clear();
    this.#exchange.onRequestBody(buffer, start, end);
  }

  write(buffer: Buffer, start: number, end: number): void {
    if (this.#discarding) return;
    writeBody(this.#writer, this.#chunking, buffer, start, end);
  }

  flush(): void {
    this.#writer.flush();
  }

  end(trailers: Trailers | undefined): void {
    if (this.#chunking) writeLastChunk(this.#writer, trailers);
    this.#writer.flush();
    if (this.#phase !== RAW) this.#drain();
    else if (this.#writer.blocked) this.#ending = true;
    else this.#stream?.end();
  }

  close(): void {
    this.#drain();
  }

  /** The node enforces the timeouts of its client, which are different if the client speaks HTTP/2. */
  get waitsIndefinitely(): boolean {
    return isStreaming(this.#grpcType);
  }

  reply({ endpointId, fields, message = "", reason, status }: LocalReply): number {
    const headOnly = this.#headOnly;
    const grpcType = this.#grpcType;
    const error = { status, message, reason, endpointId };
    const text = errorResponse({ ...error, close: true, headOnly, extra: fields, grpcType });
    const bytes = Buffer.from(text, "latin1");
    this.#chunking = false;
    this.#writer.discard();
    this.#writer.send(bytes, 0, bytes.length);
    return headOnly || grpcType !== undefined ? 0 : errorBody(error).length;
  }

  consume(count: number): void {
    this.#stream?.consume(count);
  }

  abort(_why: Reason): void {
    this.#finish(true);
  }

  #readHead(buffer: Buffer, start: number, end: number): void {
    const held = this.#held;
    if (held.length === 0) {
      this.#parseHead(buffer, start, end);
      return;
    }
    held.append(buffer, start, end);
    const found = this.#finder.find(held.buffer, held.start, held.end);
    if (found === END_INVALID) this.#refuse(this.#finder.error);
    else if (found !== END_UNKNOWN) {
      const { buffer: bytes, start: from, end: to } = held;
      held.clear();
      this.#parseHead(bytes, from, to);
    } else if (held.length > MAX_REQUEST_HEAD_BYTES) this.#refuse(HTTP_ERRORS.HEAD_SIZE);
  }

  #parseHead(buffer: Buffer, start: number, end: number): void {
    const head = this.#service.requestHead;
    const result = parseRequestHead(head, buffer, start, end);
    if (result === HEAD_COMPLETE) {
      // Nodes always speak HTTP/1.1, whatever their clients do.
      if (head.minorVersion !== 1) this.#refuse(HTTP_ERRORS.VERSION_UNSUPPORTED);
      else {
        this.#begin(head);
        this.#readBody(buffer, head.end, end);
      }
    } else if (result === HEAD_INCOMPLETE && end - start <= MAX_REQUEST_HEAD_BYTES) {
      this.#held.append(buffer, start, end);
      // The finder searches these bytes too, so that it can continue after them.
      if (this.#finder.find(this.#held.buffer, this.#held.start, this.#held.end) === END_INVALID) {
        this.#refuse(this.#finder.error);
      }
    } else this.#refuse(head.error);
  }

  #begin(head: RequestHead): void {
    this.#phase = EXCHANGING;
    this.#headOnly = head.method === "HEAD";
    this.#grpcType = grpcRequestType(head);
    this.#upgrade = head.upgrade;
    this.#chunking = false;
    // For a node that might send a second request on the same stream. Our nodes and Go's announce that they don't.
    this.#rewrite.connectionClose = !head.connectionClose;
    this.#requestBody.reset(requestBody(head), head.contentLength);
    this.#exchange.onRequest(head, this.#requestBody.done);
  }

  #readBody(buffer: Buffer, start: number, end: number): void {
    if (start === end || this.#phase !== EXCHANGING) return;
    let at = start;
    const body = this.#requestBody;
    if (!body.done) {
      at = body.read(buffer, start, end, this);
      if (at === BODY_INVALID) {
        this.#exchange.onRequestRefused(body.error ?? HTTP_ERRORS.TRUNCATED);
        return;
      }
      if (this.#isOver()) return;
      if (body.done) this.#exchange.onRequestEnd(body.trailers);
    }
    // Nothing may follow a request, unless it asks for an upgrade: those bytes are held until the 101. They aren't
    // consumed before, so there are never more than the stream's window.
    if (at === end || !this.#upgrade || this.#isOver()) return;
    this.#handed += end - at;
    this.#held.append(buffer, at, end);
  }

  #isOver(): boolean {
    return this.#phase !== EXCHANGING;
  }

  #hand(buffer: Buffer, start: number, end: number): void {
    this.#handed += end - start;
    this.#exchange.onRequestBody(buffer, start, end);
  }

  /**
   * A Go node's FIN closes both directions of a raw stream: further bytes of the service can't be delivered. The service
   * gets everything that was sent to it, however slowly it reads.
   */
  #onGoEnd(): void {
    this.#discarding = true;
    this.#writer.over();
    this.#exchange.onClientWritable();
    this.#stream?.end();
    this.#exchange.onClientClosed();
  }

  /** Refuses a malformed head. It never reaches the service, so it is neither logged as a request nor counted. */
  #refuse(error: HttpError | undefined): void {
    const { message, reason, status } = error ?? HTTP_ERRORS.METHOD;
    const { endpointId } = this.#service;
    this.#service.logger.warn("request refused", { "endpoint-id": endpointId, error: message });
    this.#headOnly = false;
    this.#grpcType = undefined;
    this.reply({ status, message, reason, endpointId, fields: "" });
    this.#drain();
  }

  /** The response is complete: ends the stream when it has accepted everything. */
  #drain(): void {
    this.#phase = DRAINING;
    if (!this.#writer.blocked) this.#finish(false);
  }

  /** Ends the stream. After a complete response it is never reset: a Go node that gets both in one message would report a failure. */
  #finish(reset: boolean): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#phase = OVER;
    this.#stream = undefined;
    stream.handler = FINISHED;
    if (reset) stream.reset();
    else stream.end();
    if (this.#held.length > 0) this.#held.clear();
    this.#requestBody.clear();
    this.#writer.over();
    if (!this.#giveBack(this)) this.#exchange.release();
  }
}
