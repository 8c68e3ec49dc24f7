// One request and its response: the request goes out on a new stream of a tunnel, the response comes back on it. A
// connection has one exchange object and uses it for all its requests, one after another; nothing here allocates per
// request but the stream.

import type { StreamHandler } from "@piko/tunnel";
import { BodyReader, type BodySink } from "../../http/h1/body-reader.js";
import { LAST_CHUNK, writeChunk } from "../../http/h1/chunk-writer.js";
import { type HttpError } from "../../http/errors.js";
import { END_INVALID, END_UNKNOWN, HeadEndFinder } from "../../http/h1/find-head-end.js";
import { askedProtocols, switchesTo } from "../../http/switching.js";
import { HEAD_INCOMPLETE, HEAD_INVALID, type RequestHead, type ResponseHead } from "../../http/head.js";
import { parseResponseHead } from "../../http/h1/parse-response-head.js";
import { PLAIN_REQUEST, type RequestRewrite } from "../../http/h1/rewrite-request-head.js";
import { responseHeadCapacity, writeResponseHead } from "../../http/h1/rewrite-response-head.js";
import { ByteStore } from "../../net/byte-store.js";
import type { ClientConnection } from "./client-connection.js";
import { Dispatch, type DispatchOwner } from "./dispatch.js";
import { emptyResponse } from "../../http/h1/error-response.js";
import type { ProxyContext } from "./proxy-context.js";
import { isForwarded, isReroute } from "./forwarded.js";
import type { ForwardedRewrite } from "./forwarded-fields.js";
import { fieldsOf, NO_MEMORY, SMALL_HEAD_BYTES } from "./proxy-limits.js";
import { CLIENT_CLOSED_REQUEST, RequestRecord } from "../../observability/request-record.js";
import type { RequestUpload } from "./request-upload.js";
import { ResponseFraming } from "./response-framing.js";
import type { UpstreamStream } from "./upstream-stream.js";

// How far the exchange is.
/** No request. */
const IDLE = 0;
/** The request is on its way, no final response head yet. */
const AWAITING_HEAD = 1;
/** The response head went to the client. */
const BODY = 2;
/** A 101 went to the client. */
const RAW = 3;

/** Takes over a stream whose exchange is finished: what still comes is of no interest. */
const FINISHED: StreamHandler = { onData() {}, onEnd() {}, onWritable() {}, onReset() {} };

export class Exchange implements DispatchOwner, BodySink {
  readonly #connection: ClientConnection;
  readonly #context: ProxyContext;
  readonly #rewrite: RequestRewrite & ForwardedRewrite;
  readonly #framing: ResponseFraming = new ResponseFraming();
  readonly #responseBody: BodyReader;
  readonly #responseSink: BodySink;
  readonly #head: ByteStore;
  readonly #finder: HeadEndFinder;
  readonly #dispatch: Dispatch;
  readonly #upload: RequestUpload;
  #phase = IDLE;
  #stream: UpstreamStream | undefined = undefined;
  #halfClose = false;
  #clientEnded = false;
  #serviceEnded = false;
  // The request.
  readonly #request: RequestRecord;
  #keepAlive = false;
  /** The protocols that an upgrade request asks for, in lower case; empty for any other request. */
  #upgrade = "";
  #headDeadlineMs = 0;
  // The response.
  #status = 0;
  #rawBytes = 0;
  /** Received bytes that wait in the client's socket before the stream's window is opened for as many more. */
  #unconsumed = 0;

  constructor(connection: ClientConnection) {
    this.#connection = connection;
    this.#context = connection.context;
    this.#request = new RequestRecord(connection.context);
    this.#responseBody = new BodyReader("response");
    this.#responseSink = { onBody: (buffer, start, end) => this.#relayBody(buffer, start, end) };
    this.#head = new ByteStore(connection.context.budget);
    this.#finder = new HeadEndFinder();
    this.#dispatch = new Dispatch(this, connection.context);
    this.#upload = this.#dispatch.upload;
    this.#rewrite = { ...PLAIN_REQUEST, forwardedFor: connection.forwardedFor, connectionClose: true };
  }

  /** More of the request has nowhere to go for now: the tunnel takes none, or there is none yet. */
  get uploadHeld(): boolean {
    return this.#upload.blocked || this.#dispatch.waiting;
  }

  /** Sends the request whose head was just parsed. `nodesOnly`: it is for another node, or nobody. */
  begin(head: RequestHead, endpointId: string, nodesOnly = false): void {
    const lastNode = isForwarded(head);
    const fromNode = lastNode && this.#context.isNode(this.#connection.clientIp);
    const byHost = head.endpointField < 0 && !nodesOnly;
    this.#remember(head);
    this.#phase = AWAITING_HEAD;
    this.#dispatch.begin(endpointId, byHost, head.method, lastNode, fromNode, nodesOnly);
    this.#context.forwarded.set(this.#rewrite, head, endpointId, this.#connection.trusted || fromNode);
    this.#upload.addHead(head, this.#rewrite);
    this.#dispatch.connect();
  }

  /** Answers with an error of the proxy's own, before any upstream was asked. `extra`: whole field lines. */
  respondError(head: RequestHead, status: number, message: string, extra = ""): void {
    this.#remember(head);
    this.#fail(status, message, extra);
  }

  /** Answers `OPTIONS *`. */
  answerOptions(head: RequestHead): void {
    this.#remember(head);
    const keepAlive = this.#mayKeepAlive();
    this.#connection.socket.out.writeLatin1(emptyResponse(this.#context.dateLine.get(), !keepAlive));
    this.#over(200, keepAlive);
  }

  /** Request body bytes, from the connection's body reader. */
  onBody(buffer: Buffer, start: number, end: number): void {
    if (this.#phase !== IDLE) this.#send(buffer, start, end);
  }

  /** Bytes of an upgraded client. */
  sendRaw(buffer: Buffer, start: number, end: number): void {
    this.#send(buffer, start, end);
  }

  /** The upgraded client sends no more. */
  clientEnded(): void {
    this.#clientEnded = true;
    if (this.#upload.blocked) return;
    this.#stream?.end();
    this.#finishRaw();
  }

  /** The request can't go on: its body is refused or stopped coming, or a limit is reached. */
  refuse(error: HttpError): void {
    this.#context.countRefusal(error);
    if (this.#phase === AWAITING_HEAD) {
      this.#dropStream();
      this.#fail(error.status, error.message, fieldsOf(error));
    } else if (this.#phase !== IDLE) {
      this.#cut();
    }
  }

  /** The client is gone. */
  abort(): void {
    if (this.#phase === IDLE) return;
    const status = this.#phase === AWAITING_HEAD ? CLIENT_CLOSED_REQUEST : this.#status;
    this.#dropStream();
    this.#record(status);
  }

  /** The connection is over, and no request under way: the memory that was kept for the next one goes. */
  release(): void {
    this.#upload.release();
  }

  /** The client's socket has room again. */
  onClientDrain(): void {
    const count = this.#unconsumed;
    if (count === 0) return;
    this.#unconsumed = 0;
    this.#stream?.consume(count);
  }

  /** Ends a wait for a response head that took too long; true if it did. */
  sweep(nowMs: number): boolean {
    if (this.#phase !== AWAITING_HEAD) return false;
    if (this.#dispatch.waiting) {
      this.#dispatch.sweep(nowMs);
      return true;
    }
    if (nowMs < this.#headDeadlineMs) return false;
    // The client may be the one that is waited for; its pauses have a limit of their own.
    if (!this.#connection.requestBody.done && !this.#upload.blocked) return false;
    this.#dropStream();
    this.#fail(504, "upstream timeout");
    return true;
  }

  onWritable(): void {
    const stream = this.#stream;
    if (stream === undefined || !this.#upload.blocked) return;
    this.#upload.resume(stream);
    this.#moveHeadDeadline();
    if (this.#upload.blocked) return;
    if (this.#phase === RAW && this.#clientEnded) {
      stream.end();
      this.#finishRaw();
    } else {
      this.#connection.resumeReading();
    }
  }

  onData(buffer: Buffer, start: number, end: number): void {
    const stream = this.#stream;
    // Another node's answer may be that the request has to go elsewhere.
    if (this.#upload.replayable && stream?.release === undefined) this.#upload.forget();
    if (this.#head.length > 0) this.#moreOfHead(buffer, start, end);
    else this.#receive(buffer, start, end);
    if (this.#stream === stream && this.#connection.socket.out.congested) this.#unconsumed += end - start;
    else stream?.consume(end - start);
  }

  onEnd(): void {
    switch (this.#phase) {
      case AWAITING_HEAD:
        this.#onLost(false);
        break;
      case BODY:
        if (!this.#responseBody.finish()) {
          this.#cut();
          break;
        }
        if (this.#framing.chunking) this.#connection.socket.out.write(LAST_CHUNK, 0, LAST_CHUNK.length);
        this.#complete(false);
        break;
      case RAW:
        this.#serviceEnded = true;
        this.#connection.socket.end();
        // A Go agent has closed both directions and reads no more.
        if (!this.#halfClose) {
          this.#clientEnded = true;
          this.#upload.clear();
          this.#stream?.end();
        }
        this.#finishRaw();
        break;
    }
  }

  onReset(): void {
    if (this.#phase === AWAITING_HEAD) {
      this.#onLost(this.#stream?.refused === true);
      return;
    }
    this.#stream = undefined;
    if (this.#phase !== IDLE) this.#cut();
  }

  onStream(stream: UpstreamStream, halfClose: boolean, late: boolean): void {
    const { clock, config } = this.#context;
    this.#stream = stream;
    this.#halfClose = halfClose;
    if (late && config.timeoutMs !== 0) this.#headDeadlineMs = clock.now() + config.timeoutMs;
  }

  onNoUpstream(message: string, extra?: string): void {
    this.#fail(502, message, extra);
  }

  onUploadBlocked(blocked: boolean): void {
    if (!blocked) this.#connection.resumeReading();
    // With nothing more to come, reading goes on: it is what tells when the client goes.
    else if (!this.#connection.requestBody.done) this.#connection.socket.pause();
  }

  /** Takes from the head what is needed after its bytes are gone. */
  #remember(head: RequestHead): void {
    const { timeoutMs } = this.#context.config;
    const request = this.#request;
    request.begin(head, this.#connection.clientOf(head));
    this.#headDeadlineMs = timeoutMs === 0 ? Number.POSITIVE_INFINITY : request.startMs + timeoutMs;
    this.#keepAlive = request.http10 ? head.connectionKeepAlive : !head.connectionClose;
    this.#upgrade = askedProtocols(head);
    this.#clientEnded = false;
    this.#serviceEnded = false;
    this.#status = 0;
    this.#rawBytes = 0;
    this.#framing.chunking = false;
    this.#unconsumed = 0;
    this.#responseBody.received = 0;
  }

  #send(buffer: Buffer, start: number, end: number): void {
    if (this.#upload.send(this.#stream, buffer, start, end) > 0) this.#moveHeadDeadline();
    if (!this.#upload.blocked) return;
    if (this.#context.budget.exhausted) this.refuse(NO_MEMORY);
    else this.#connection.socket.pause();
  }

  /** The time limit for the response head counts from the last byte of the request that the tunnel took. */
  #moveHeadDeadline(): void {
    const { clock, config } = this.#context;
    if (this.#phase === AWAITING_HEAD && config.timeoutMs !== 0 && !this.#connection.requestBody.done) {
      this.#headDeadlineMs = clock.now() + config.timeoutMs;
    }
  }

  /** The stream is over before a response head. */
  #onLost(refused: boolean): void {
    const stale = this.#stream?.stale === true;
    this.#dropStream();
    if (this.#head.length > 0) {
      this.#head.clear();
      this.#upload.forget();
    }
    this.#dispatch.onLost(refused, stale);
  }

  #moreOfHead(buffer: Buffer, start: number, end: number): void {
    const store = this.#head;
    store.append(buffer, start, end);
    const found = this.#finder.find(store.buffer, store.start, store.end);
    if (found === END_UNKNOWN) {
      if (store.length > this.#context.config.limits.maxResponseHeaderBytes) this.#refuseLargeHead();
      else if (this.#context.budget.exhausted && store.length > SMALL_HEAD_BYTES) this.refuse(NO_MEMORY);
      return;
    }
    if (found === END_INVALID) {
      this.#refuseResponse(this.#finder.error?.message ?? "invalid response head");
      return;
    }
    const { buffer: bytes, start: from, end: to } = store;
    store.clear();
    this.#receive(bytes, from, to);
  }

  #receive(buffer: Buffer, start: number, end: number): void {
    const stream = this.#stream;
    let at = start;
    while (this.#phase === AWAITING_HEAD) {
      if (at === end) return;
      const head = this.#context.responseHead;
      const result = parseResponseHead(head, buffer, at, end);
      if (result === HEAD_INCOMPLETE) {
        this.#finder.reset();
        this.#moreOfHead(buffer, at, end);
        return;
      }
      if (result === HEAD_INVALID) {
        this.#refuseResponse(head.error?.message ?? "invalid response head");
        return;
      }
      if (head.end - head.start > this.#context.config.limits.maxResponseHeaderBytes) {
        this.#refuseLargeHead();
        return;
      }
      at = head.end;
      this.#onHead(head);
      // Refused, or gone elsewhere: what follows belongs to nothing.
      if (this.#stream !== stream) return;
    }
    if (this.#phase === BODY && this.#responseBody.done) {
      this.#complete(at === end);
    } else if (at === end) {
      return;
    } else if (this.#phase === RAW) {
      this.#rawBytes += end - at;
      this.#connection.socket.out.write(buffer, at, end);
    } else if (this.#phase === BODY) {
      const next = this.#responseBody.read(buffer, at, end, this.#responseSink);
      if (next < 0) this.#cut();
      else if (this.#responseBody.done) this.#complete(next === end);
    }
  }

  #onHead(head: ResponseHead): void {
    if (this.#upload.replayable) {
      if (isReroute(head)) {
        this.#onLost(true);
        return;
      }
      this.#upload.forget();
    }
    if (head.status === 101) this.#onSwitch(head);
    else if (head.status < 200) this.#onInterim(head);
    else this.#onFinalHead(head);
  }

  /** 100, 103 and the like go on to any client that knows them. */
  #onInterim(head: ResponseHead): void {
    if (this.#request.http10) return;
    this.#framing.setBodiless();
    this.#writeHead(head);
  }

  #onSwitch(head: ResponseHead): void {
    if (!switchesTo(this.#upgrade, head) || !this.#connection.requestBody.done) {
      this.#refuseResponse("switch to a protocol that was not asked for");
      return;
    }
    this.#status = 101;
    this.#keepAlive = false;
    this.#request.response(head);
    this.#framing.setBodiless();
    this.#writeHead(head);
    this.#phase = RAW;
    this.#connection.becomeRaw();
  }

  #onFinalHead(head: ResponseHead): void {
    const framing = this.#framing;
    framing.setFinal(head, this.#request.method, this.#request.http10, this.#mayKeepAlive());
    this.#status = head.status;
    this.#keepAlive = framing.keepAlive;
    this.#request.response(head);
    this.#responseBody.reset(framing.kind, head.contentLength, framing.decode);
    this.#phase = BODY;
    this.#writeHead(head);
  }

  #mayKeepAlive(): boolean {
    // Behind an upgrade request that was declined, bytes may be of either protocol; so the connection ends.
    if (this.#context.closing || this.#connection.lastRequest) return false;
    return this.#keepAlive && this.#connection.requestBody.done && this.#upgrade === "";
  }

  #writeHead(head: ResponseHead): void {
    const { rewrite } = this.#framing;
    rewrite.dateLine = head.hasDate ? undefined : this.#context.dateLine.get();
    const { out } = this.#connection.socket;
    const at = out.reserve(responseHeadCapacity(head, rewrite));
    out.advance(writeResponseHead(head, out.slab as Buffer, at, rewrite));
  }

  #relayBody(buffer: Buffer, start: number, end: number): void {
    const { out } = this.#connection.socket;
    if (this.#framing.chunking) writeChunk(out, buffer, start, end);
    else out.write(buffer, start, end);
  }

  /** The response is whole. `clean`: nothing came behind it. */
  #complete(clean: boolean): void {
    const stream = this.#stream;
    if (stream !== undefined) {
      stream.handler = FINISHED;
      // A response before the end of its request: the service wants no more of it.
      if (!this.#connection.requestBody.done || this.#upload.blocked) stream.reset();
      else if (stream.release === undefined) stream.end(true);
      else stream.release(this.#framing.reusable && clean);
    }
    this.#over(this.#status, this.#keepAlive);
  }

  #refuseLargeHead(): void {
    this.#context.limits.hit("max_response_header_bytes");
    this.#refuseResponse("response head too large");
  }

  /** A service's answer that can't be passed on; the stream has nothing more to say. */
  #refuseResponse(reason: string): void {
    this.#context.logger.warn("upstream response refused", { ...this.#request.describe(), error: reason });
    this.#dropStream();
    this.#fail(502, "upstream unreachable");
  }

  #fail(status: number, message: string, extra = ""): void {
    const close = !this.#mayKeepAlive();
    const headOnly = this.#request.method === "HEAD";
    this.#responseBody.received = this.#connection.writeError({ status, message, close, headOnly, extra });
    this.#over(status, !close);
  }

  /** The response can't be completed: the client must see that it isn't. */
  #cut(): void {
    // Only a body that ends with its connection needs a reset to tell its end from a cut.
    const reset = this.#phase === RAW || (this.#request.http10 && !this.#responseBody.done);
    this.#dropStream();
    this.#record(this.#status);
    this.#connection.cut(reset);
  }

  #finishRaw(): void {
    if (this.#clientEnded && this.#serviceEnded) this.#over(101, false);
  }

  #over(status: number, keepAlive: boolean): void {
    this.#record(status);
    this.#connection.exchangeOver(keepAlive, this.#request.endMs);
  }

  #dropStream(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#stream = undefined;
    stream.handler = FINISHED;
    stream.reset();
  }

  /** Accounts for the request, once, and forgets it. */
  #record(status: number): void {
    this.#phase = IDLE;
    this.#stream = undefined;
    this.#dispatch.clear();
    if (this.#head.length > 0) this.#head.clear();
    this.#request.end(status, status === 101 ? this.#rawBytes : this.#responseBody.received);
  }
}
