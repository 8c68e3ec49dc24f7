// One request and its response: the request comes on a stream of the tunnel and goes to the service, the response goes
// back. One object for each stream and nothing else that lives as long; all of it is plain calls with byte ranges.

import type { StreamHandler, YamuxStream } from "@piko/tunnel";
import { BODY_NONE, BODY_UNTIL_CLOSE, requestBody } from "../http/body-framing.js";
import { BODY_INVALID, BodyReader, type BodySink } from "../http/h1/body-reader.js";
import { LAST_CHUNK, writeChunk } from "../http/h1/chunk-writer.js";
import { errorBody, errorResponse } from "../http/h1/error-response.js";
import { HTTP_ERRORS, type HttpError } from "../http/errors.js";
import { END_INVALID, END_UNKNOWN, HeadEndFinder } from "../http/h1/find-head-end.js";
import { HEAD_COMPLETE, HEAD_INCOMPLETE, type RequestHead, type ResponseHead } from "../http/head.js";
import { parseRequestHead } from "../http/h1/parse-request-head.js";
import {
  FRAMING_AS_IS,
  FRAMING_CHUNKED,
  FRAMING_NONE,
  type ResponseRewrite,
} from "../http/h1/rewrite-response-head.js";
import { askedProtocols, switchesTo } from "../http/switching.js";
import { ByteStore } from "../net/byte-store.js";
import { CLIENT_CLOSED_REQUEST, type RequestRecord } from "../observability/request-record.js";
import { type HttpService, MAX_REQUEST_HEAD_BYTES } from "./http-service.js";
import type { ResponseHandler, ServiceConnection } from "./service-connection.js";
import { StreamBridge } from "./stream-bridge.js";
import { StreamWriter } from "./stream-writer.js";

// How far the exchange is.
const READING_HEAD = 0;
/** The request goes to the service, no final response head yet. */
const AWAITING_RESPONSE = 1;
const RESPONDING = 2;
/** The response is whole, and the stream hasn't taken all of it yet. */
const DRAINING = 3;
const OVER = 4;

const INTERIM: ResponseRewrite = {
  framing: FRAMING_NONE,
  connectionClose: false,
  keepAliveHttp10: false,
  dateLine: undefined,
};
const AS_IS: ResponseRewrite = { ...INTERIM, framing: FRAMING_AS_IS };
// So that a node can tell the end of a body from a cut.
const CHUNKED: ResponseRewrite = { ...INTERIM, framing: FRAMING_CHUNKED };
// For a node that could think of a second request on the same stream. Ours and Go's say themselves that they don't.
const AS_IS_CLOSING: ResponseRewrite = { ...AS_IS, connectionClose: true };
const CHUNKED_CLOSING: ResponseRewrite = { ...CHUNKED, connectionClose: true };

/** Takes over a stream whose exchange is finished: what still comes is of no interest. */
const FINISHED: StreamHandler = { onData() {}, onEnd() {}, onWritable() {}, onReset() {} };

export class StreamExchange implements StreamHandler, BodySink, ResponseHandler {
  readonly responseHead: ResponseHead;
  readonly #service: HttpService;
  readonly #stream: YamuxStream;
  readonly #writer: StreamWriter;
  readonly #halfClose: boolean;
  #phase: number;
  #connection: ServiceConnection | undefined;
  /** Its head in parts; later, what an upgrade request's client sends before the 101. Both are rare. */
  #held: ByteStore | undefined;
  #finder: HeadEndFinder | undefined;
  // The request.
  /** Absent when there is no body. */
  #requestBody: BodyReader | undefined;
  /** The protocols that the request asks for, in lower case; empty for none. */
  #upgrade: string;
  #sayClose: boolean;
  /** From its head to its end. */
  #request: RequestRecord | undefined;
  /** Received bytes that wait in the service's socket before the stream's window is opened for as many more. */
  #unconsumed: number;
  // The response.
  #status: number;
  #chunking: boolean;
  #responseBytes: number;

  constructor(service: HttpService, stream: YamuxStream, halfClose: boolean) {
    this.responseHead = service.responseHead;
    this.#service = service;
    this.#stream = stream;
    this.#writer = new StreamWriter(stream, service.scratch);
    this.#halfClose = halfClose;
    this.#phase = READING_HEAD;
    this.#connection = undefined;
    this.#held = undefined;
    this.#finder = undefined;
    this.#requestBody = undefined;
    this.#upgrade = "";
    this.#sayClose = false;
    this.#request = undefined;
    this.#unconsumed = 0;
    this.#status = 0;
    this.#chunking = false;
    this.#responseBytes = 0;
  }

  onData(buffer: Buffer, start: number, end: number): void {
    const kept =
      this.#phase === READING_HEAD ? this.#readHead(buffer, start, end) : this.#readBody(buffer, start, end);
    const count = end - start - kept;
    if (this.#connection !== undefined && this.#connection.congested) this.#unconsumed += count;
    else this.#stream.consume(count);
  }

  onEnd(): void {
    // Before the response is whole, a peer that sends no more is gone, as it is for nginx and Go.
    if (this.#phase === OVER) return;
    this.#stream.reset();
    this.#onClientGone();
  }

  onReset(): void {
    if (this.#phase !== OVER) this.#onClientGone();
  }

  onWritable(): void {
    if (!this.#writer.resume()) return;
    if (this.#phase === DRAINING) this.#finish(this.#status);
    else this.#connection?.socket.resume();
  }

  /** Request body bytes, from the body reader. */
  onBody(buffer: Buffer, start: number, end: number): void {
    this.#connection?.send(buffer, start, end);
  }

  onInterimHead(head: ResponseHead): void {
    this.#writer.addHead(head, INTERIM);
  }

  onSwitch(head: ResponseHead): boolean {
    const connection = this.#connection;
    if (connection === undefined || !switchesTo(this.#upgrade, head) || !this.#requestDone) return false;
    this.#status = head.status;
    this.#request?.response(head);
    this.#writer.addHead(head, INTERIM);
    this.#flush();
    this.#bridge(connection);
    return true;
  }

  onFinalHead(head: ResponseHead, bodyKind: number): void {
    this.#phase = RESPONDING;
    this.#status = head.status;
    this.#chunking = bodyKind === BODY_UNTIL_CLOSE;
    this.#request?.response(head);
    if (this.#sayClose) this.#writer.addHead(head, this.#chunking ? CHUNKED_CLOSING : AS_IS_CLOSING);
    else this.#writer.addHead(head, this.#chunking ? CHUNKED : AS_IS);
  }

  onResponseBody(buffer: Buffer, start: number, end: number): void {
    this.#responseBytes += end - start;
    if (this.#chunking) writeChunk(this.#writer, buffer, start, end);
    else this.#writer.write(buffer, start, end);
  }

  onResponseEnd(reusable: boolean): void {
    if (this.#chunking) this.#writer.write(LAST_CHUNK, 0, LAST_CHUNK.length);
    this.#flush();
    const connection = this.#connection;
    this.#connection = undefined;
    // A response before the end of its request: the service has heard enough, but expects the rest on this connection.
    if (reusable && this.#requestDone) connection?.release();
    else connection?.destroy();
    if (this.#writer.blocked) this.#phase = DRAINING;
    else this.#finish(this.#status);
  }

  onResponseTurn(): void {
    this.#flush();
  }

  onServiceDrain(): void {
    const count = this.#unconsumed;
    if (count === 0) return;
    this.#unconsumed = 0;
    this.#moveDeadline();
    this.#stream.consume(count);
  }

  onServiceLost(reason: string): void {
    const connection = this.#connection;
    this.#connection = undefined;
    const { endpointId, logger, pool } = this.#service;
    if (this.#phase === AWAITING_RESPONSE) {
      if (connection?.replayable === true) {
        const next = pool.open(this);
        this.#connection = next;
        connection.replayOn(next);
        this.onServiceDrain();
        return;
      }
      logger.warn("upstream unreachable", { "endpoint-id": endpointId, error: reason });
      this.#fail(502, "upstream unreachable");
    } else if (this.#phase === RESPONDING) {
      logger.warn("upstream response cut off", { "endpoint-id": endpointId, error: reason });
      this.#cut();
    }
  }

  onServiceTimeout(): void {
    // What is waited for may be the client's body; its pauses are for the node to limit.
    if (!this.#requestDone && this.#unconsumed === 0 && !this.#connecting) {
      this.#moveDeadline();
      return;
    }
    const { endpointId, logger, timeoutMs } = this.#service;
    logger.warn("upstream timeout", { "endpoint-id": endpointId, "timeout-ms": timeoutMs });
    this.#fail(504, "upstream timeout");
  }

  get #requestDone(): boolean {
    return this.#requestBody === undefined || this.#requestBody.done;
  }

  get #connecting(): boolean {
    return this.#connection?.socket.opening === true;
  }

  /** Returns how many of the bytes stay here, as does `#readBody`. */
  #readHead(buffer: Buffer, start: number, end: number): number {
    const held = this.#held;
    if (held === undefined) return this.#parseHead(buffer, start, end);
    held.append(buffer, start, end);
    const finder = this.#finder as HeadEndFinder;
    const found = finder.find(held.buffer, held.start, held.end);
    if (found === END_INVALID) {
      this.#refuse(finder.error);
      return 0;
    }
    if (found === END_UNKNOWN) {
      if (held.length > MAX_REQUEST_HEAD_BYTES) this.#refuse(HTTP_ERRORS.HEAD_SIZE);
      return 0;
    }
    const { buffer: bytes, start: from, end: to } = held;
    this.#held = undefined;
    this.#finder = undefined;
    return this.#parseHead(bytes, from, to);
  }

  #parseHead(buffer: Buffer, start: number, end: number): number {
    const head = this.#service.requestHead;
    const result = parseRequestHead(head, buffer, start, end);
    if (result === HEAD_COMPLETE) {
      if (head.minorVersion === 1) {
        this.#begin(head);
        return this.#readBody(buffer, head.end, end);
      }
      // Nodes speak HTTP/1.1 whatever their clients do.
      this.#refuse(HTTP_ERRORS.VERSION_UNSUPPORTED);
    } else if (result === HEAD_INCOMPLETE && end - start <= MAX_REQUEST_HEAD_BYTES) {
      this.#finder = new HeadEndFinder();
      this.#held = new ByteStore();
      return this.#readHead(buffer, start, end);
    } else {
      this.#refuse(head.error);
    }
    return 0;
  }

  #begin(head: RequestHead): void {
    const service = this.#service;
    const { rewrite, timeoutMs } = service;
    const request = service.takeRecord();
    this.#request = request;
    request.begin(head);
    this.#phase = AWAITING_RESPONSE;
    this.#upgrade = askedProtocols(head);
    this.#sayClose = !head.connectionClose;
    const kind = requestBody(head);
    if (kind !== BODY_NONE) {
      this.#requestBody = new BodyReader();
      this.#requestBody.reset(kind, head.contentLength, false);
    }
    const connection = service.pool.take(this);
    this.#connection = connection;
    const deadlineMs = timeoutMs === 0 ? Number.POSITIVE_INFINITY : request.startMs + timeoutMs;
    connection.begin(head.method, deadlineMs);
    connection.sendHead(head, rewrite);
  }

  #readBody(buffer: Buffer, start: number, end: number): number {
    if (start === end || this.#phase === OVER) return 0;
    let at = start;
    const body = this.#requestBody;
    if (body !== undefined && !body.done) {
      at = body.read(buffer, start, end, this);
      if (at === BODY_INVALID) {
        this.#refuseBody(body.error ?? HTTP_ERRORS.TRUNCATED);
        return 0;
      }
      this.#moveDeadline();
    }
    // Behind a request there is nothing, unless it asks for an upgrade: those bytes wait for the 101. They aren't
    // consumed until then, so there are never more than the stream's window.
    if (at === end || this.#upgrade === "" || this.#phase !== AWAITING_RESPONSE) return 0;
    this.#held ??= new ByteStore();
    this.#held.append(buffer, at, end);
    return end - at;
  }

  /** The time for the response head begins anew with each part of the request. */
  #moveDeadline(): void {
    const { clock, timeoutMs } = this.#service;
    if (
      this.#connection !== undefined &&
      this.#phase === AWAITING_RESPONSE &&
      timeoutMs !== 0 &&
      !this.#connecting
    )
      this.#connection.deadlineMs = clock.now() + timeoutMs;
  }

  #flush(): void {
    this.#writer.flush();
    if (this.#writer.blocked) this.#connection?.socket.pause();
  }

  /** Behind a 101 bytes pass both ways, the early ones first. */
  #bridge(connection: ServiceConnection): void {
    const rest = this.#writer.takeRest();
    const held = this.#held;
    const bridge = new StreamBridge({
      stream: this.#stream,
      halfClose: this.#halfClose,
      onDone: () => {
        this.#responseBytes += bridge.sentBytes;
        this.#finished(this.#status);
      },
    });
    this.#phase = OVER;
    this.#connection = undefined;
    this.#held = undefined;
    this.#stream.handler = bridge;
    const socket = connection.detach(bridge.socketHandler);
    if (rest !== undefined && rest.length > 0)
      bridge.socketHandler.onBytes(rest.buffer, rest.start, rest.end);
    bridge.join(socket);
    this.#stream.consume(this.#unconsumed);
    if (held !== undefined) bridge.onData(held.buffer, held.start, held.end);
  }

  /** A head that isn't one; no service was asked, so it is neither logged as a request nor counted. */
  #refuse(error: HttpError | undefined): void {
    const { status, message } = error ?? HTTP_ERRORS.METHOD;
    this.#service.logger.warn("request refused", { "endpoint-id": this.#service.endpointId, error: message });
    const bytes = Buffer.from(errorResponse({ status, message, close: true, headOnly: false }), "latin1");
    this.#phase = OVER;
    this.#stream.write(bytes, 0, bytes.length);
    this.#end();
  }

  #refuseBody(error: HttpError): void {
    if (this.#phase === AWAITING_RESPONSE) this.#fail(error.status, error.message);
    else this.#cut();
  }

  /** Answers in place of the service. */
  #fail(status: number, message: string): void {
    this.#dropConnection();
    const headOnly = this.#request?.method === "HEAD";
    const bytes = Buffer.from(errorResponse({ status, message, close: true, headOnly }), "latin1");
    this.#status = status;
    this.#responseBytes = headOnly ? 0 : errorBody(message).length;
    this.#writer.send(bytes, 0, bytes.length);
    if (this.#writer.blocked) this.#phase = DRAINING;
    else this.#finish(status);
  }

  /** The response can't be completed, and must not look as if it were. */
  #cut(): void {
    this.#dropConnection();
    this.#stream.handler = FINISHED;
    this.#stream.reset();
    this.#finished(this.#status);
  }

  #onClientGone(): void {
    this.#dropConnection();
    if (this.#phase === READING_HEAD) this.#phase = OVER;
    else this.#finished(this.#phase === AWAITING_RESPONSE ? CLIENT_CLOSED_REQUEST : this.#status);
  }

  #finish(status: number): void {
    this.#end();
    this.#finished(status);
  }

  /** Never a reset: a Go node takes one in the same message as a complete response for a failure. */
  #end(): void {
    this.#stream.handler = FINISHED;
    this.#stream.end();
  }

  #dropConnection(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#writer.discard();
    connection?.destroy();
  }

  /** Accounts for the request, once. */
  #finished(status: number): void {
    this.#phase = OVER;
    const request = this.#request;
    if (request === undefined) return;
    this.#request = undefined;
    request.end(status, this.#responseBytes);
    this.#service.giveRecord(request);
  }
}
