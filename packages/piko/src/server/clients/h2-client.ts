// One client's HTTP/2 connection: its socket, its requests, its timeouts, and how it ends.

import type { ByteSocket, SocketHandler } from "@piko/tunnel";
import { HTTP_ERRORS, type HttpError } from "../../http/errors.js";
import { parseRequestHead } from "../../http/h1/parse-request-head.js";
import type { H2Limit, H2Limits, ServerEvents } from "../../http/h2/connection-events.js";
import { CANCEL, type ConnectionError, PROTOCOL_ERROR, REFUSED_STREAM } from "../../http/h2/error-codes.js";
import { RequestFields } from "../../http/h2/request-fields.js";
import { ServerConnection } from "../../http/h2/server-connection.js";
import type { H2Stream } from "../../http/h2/stream.js";
import { TrailerFields } from "../../http/h2/trailer-fields.js";
import { HEAD_COMPLETE } from "../../http/head.js";
import { ByteBudget } from "../../net/byte-budget.js";
import { ByteStore } from "../../net/byte-store.js";
import { deadlineAfter, type Expiring } from "../../net/deadline-sweep.js";
import type { Postponed } from "../../net/next-turn.js";
import { WriteProgress } from "../../net/write-progress.js";
import type { ProxyContext } from "../exchange/proxy-context.js";
import { fieldsOf, type ProxyLimit, TARGET_SIZE } from "../exchange/proxy-limits.js";
import type { Client, ClientConnection } from "./client.js";
import { H2Request, type RequestConnection } from "./h2-request.js";

/** Maximum request objects that a connection keeps for reuse. */
const MAX_FREE_REQUESTS = 16;
/** How long an idle connection stays open after GOAWAY. */
const GO_AWAY_MS = 1_000;

const LIMITS: Readonly<Record<H2Limit, ProxyLimit>> = {
  max_concurrent_streams: "http2_max_concurrent_streams",
  max_control_frames: "http2_max_control_frames",
  max_resets: "http2_max_resets",
  max_header_bytes: "max_header_bytes",
};

/** State that all HTTP/2 connections of a port share. */
export interface H2Shared {
  readonly limits: H2Limits;
  /** Filled by each header block, valid until the next one. */
  readonly requestFields: RequestFields;
  readonly trailerFields: TrailerFields;
  /** Memory of responses that are blocked by windows. */
  readonly unsent: ByteBudget;
}

export function createH2Shared({ config }: Pick<ProxyContext, "config">): H2Shared {
  const { maxHeaderBytes } = config.http;
  return {
    limits: { ...config.http2, maxHeaderBytes },
    requestFields: new RequestFields(maxHeaderBytes),
    trailerFields: new TrailerFields(maxHeaderBytes),
    unsent: new ByteBudget(config.http2.maxUnsentBytes),
  };
}

export class H2Client
  implements ClientConnection, RequestConnection, ServerEvents, SocketHandler, Expiring, Postponed
{
  readonly socket: ByteSocket;
  readonly client: Client;
  readonly requestFields: RequestFields;
  readonly trailerFields: TrailerFields;
  readonly unsent: ByteBudget;
  readonly #context: ProxyContext;
  readonly #connection: ServerConnection;
  readonly #requests: Set<H2Request>;
  readonly #free: H2Request[];
  readonly #writes: WriteProgress;
  /** Received bytes that wait for the next turn. */
  readonly #ahead: ByteStore;
  readonly #onGone: (connection: ClientConnection) => void;
  /** What the client must still complete, as last read from the connection, and the deadline for it. */
  #debt: number;
  #debtDeadlineMs: number;
  /** When the connection ends if it has no requests then: because it is idle, or because GOAWAY was sent. */
  #idleDeadlineMs: number;
  #goAwayDeadlineMs: number;
  /** Whether the client's certificate is no longer accepted. */
  #retired: boolean;
  #over: boolean;

  /** Takes over an accepted socket; the caller passes bytes that were already read to `onBytes`. */
  constructor(
    context: ProxyContext,
    shared: H2Shared,
    socket: ByteSocket,
    client: Client,
    onGone: (connection: ClientConnection) => void,
  ) {
    const nowMs = context.clock.now();
    this.socket = socket;
    this.client = client;
    this.requestFields = shared.requestFields;
    this.trailerFields = shared.trailerFields;
    this.#context = context;
    this.#requests = new Set();
    this.#free = [];
    this.#writes = new WriteProgress();
    this.#ahead = new ByteStore(context.budget);
    this.#onGone = onGone;
    this.#over = false;
    const memory = { blocks: context.budget, unsent: shared.unsent };
    this.unsent = shared.unsent;
    this.#connection = new ServerConnection(socket.out, shared.limits, memory, context.clock, this);
    this.#debt = this.#connection.debt;
    this.#debtDeadlineMs = deadlineAfter(nowMs, context.config.http.readHeaderTimeoutMs);
    this.#idleDeadlineMs = deadlineAfter(nowMs, context.config.http.idleTimeoutMs);
    this.#goAwayDeadlineMs = Number.POSITIVE_INFINITY;
    this.#retired = false;
    socket.handler = this;
    context.sweep.add(this);
  }

  // Callbacks of the socket.

  onBytes(buffer: Buffer, start: number, end: number): void {
    if (this.#ahead.length > 0) {
      this.#ahead.append(buffer, start, end);
      return;
    }
    this.#connection.nextTurn();
    const at = this.#connection.read(buffer, start, end);
    if (at < end && !this.#over) {
      this.#ahead.append(buffer, at, end);
      this.socket.pause();
      this.#context.nextTurn.add(this);
    }
  }

  /** Continues after the connection used up its share of the last turn. */
  onNextTurn(): void {
    const ahead = this.#ahead;
    if (this.#over || ahead.length === 0) return;
    this.#connection.nextTurn();
    const at = this.#connection.read(ahead.buffer, ahead.start, ahead.end);
    // A connection that has failed has cleared them.
    if (ahead.length > 0) ahead.consumeTo(at);
    if (ahead.length > 0) this.#context.nextTurn.add(this);
    else this.socket.resume();
  }

  onEnd(): void {
    this.#connection.close();
    this.socket.close();
  }

  onDrain(): void {
    this.#connection.onDrain();
  }

  onClose(): void {
    if (this.#over) return;
    this.#over = true;
    this.#connection.close();
    this.#ahead.clear();
    for (const request of this.#free.splice(0)) request.exchange.release();
    this.#context.sweep.remove(this);
    this.#onGone(this);
  }

  onFault(): void {
    this.socket.reset();
  }

  sweep(nowMs: number): void {
    const { config, limits } = this.#context;
    const { idleTimeoutMs, readHeaderTimeoutMs, writeTimeoutMs } = config.http;
    for (const request of this.#requests) request.sweep(nowMs);
    if (writeTimeoutMs !== 0) {
      if (this.#writes.stuckMs(this.socket, nowMs) >= writeTimeoutMs) {
        limits.hit("write_timeout");
        this.socket.reset();
        return;
      }
      this.#sweepStreams(nowMs, writeTimeoutMs);
    }
    const { debt } = this.#connection;
    if (debt !== this.#debt) {
      this.#debt = debt;
      this.#debtDeadlineMs =
        debt === 0 ? Number.POSITIVE_INFINITY : deadlineAfter(nowMs, readHeaderTimeoutMs);
    } else if (nowMs >= this.#debtDeadlineMs) {
      limits.hit("read_header_timeout");
      this.socket.destroy();
    }
    if (this.#requests.size > 0) this.#idleDeadlineMs = deadlineAfter(nowMs, idleTimeoutMs);
    else if (nowMs >= Math.min(this.#idleDeadlineMs, this.#goAwayDeadlineMs)) this.#connection.finish("");
  }

  #sweepStreams(nowMs: number, limitMs: number): void {
    for (const stream of this.#connection.streams.open.values()) {
      if (stream.closed || stream.raw || stream.stuckMs(nowMs) < limitMs) continue;
      this.#context.limits.hit("write_timeout");
      const { handler } = stream;
      if (handler instanceof H2Request) handler.onStuck(CANCEL);
      else stream.reset(CANCEL);
    }
  }

  // Calls of the port.

  stop(): void {
    if (this.#requests.size === 0) this.#connection.finish("");
    else this.#goAway();
  }

  cut(): void {
    for (const request of [...this.#requests]) request.onReset();
    this.socket.reset();
  }

  retire(): void {
    this.#retired = true;
    this.stop();
  }

  #goAway(): void {
    if (this.#connection.goAway()) this.#goAwayDeadlineMs = this.#context.clock.now() + GO_AWAY_MS;
  }

  // Events of the connection.

  onStream(stream: H2Stream, last: boolean): void {
    const context = this.#context;
    const fields = this.requestFields;
    if (context.closing) this.#goAway();
    if (this.#retired) {
      this.#connection.refuse(stream, REFUSED_STREAM);
      return;
    }
    if (fields.malformed !== undefined) {
      context.logger.debug("request refused", { "client-ip": this.client.address, error: fields.malformed });
      this.#connection.refuse(stream, PROTOCOL_ERROR);
      return;
    }
    const refusal = this.#findRefusal(stream, last);
    if (refusal === undefined) return;
    context.logger.debug("request refused", { "client-ip": this.client.address, error: refusal.message });
    context.onRefused(refusal);
    this.#takeRequest().answer(stream, refusal, fieldsOf(refusal));
  }

  /** Begins a request or resets its stream; returns an error if the request must be answered with it. */
  #findRefusal(stream: H2Stream, last: boolean): HttpError | undefined {
    const { config, requestHead: head } = this.#context;
    const fields = this.requestFields;
    if (fields.tooLarge) return HTTP_ERRORS.HEAD_SIZE;
    if (fields.connect) return HTTP_ERRORS.CONNECT;
    if (parseRequestHead(head, fields.buffer, fields.start, fields.end) !== HEAD_COMPLETE) {
      return head.error ?? HTTP_ERRORS.METHOD;
    }
    if (head.targetEnd - head.targetStart > config.limits.maxTargetBytes) return TARGET_SIZE;
    if (last && (head.contentLength > 0 || fields.webSocketKey !== undefined)) {
      this.#connection.refuse(stream, PROTOCOL_ERROR);
      return undefined;
    }
    head.http2 = true;
    this.#takeRequest().begin(stream, head, last, fields.webSocketKey);
    return undefined;
  }

  onLimit(limit: H2Limit): void {
    this.#context.limits.hit(LIMITS[limit]);
  }

  onIdle(): void {
    const { clock, config, closing, draining } = this.#context;
    this.#idleDeadlineMs = deadlineAfter(clock.now(), config.http.idleTimeoutMs);
    if (this.#over) return;
    if (draining) this.#connection.finish("");
    else if (closing) this.#goAway();
    if (this.#connection.finished) this.socket.close();
  }

  onFailed(error: ConnectionError): void {
    const { logger } = this.#context;
    logger.debug("http/2 connection ended", { "client-ip": this.client.address, error: error.message });
    this.#ahead.clear();
    this.#connection.close();
    this.socket.close();
  }

  // Calls of the requests.

  get congested(): boolean {
    return this.socket.out.congested;
  }

  refuse(stream: H2Stream, code: number): void {
    this.#connection.refuse(stream, code);
  }

  onRequestOver(request: H2Request): void {
    this.#requests.delete(request);
    if (this.#free.length < MAX_FREE_REQUESTS && !this.#over) this.#free.push(request);
    else request.exchange.release();
  }

  #takeRequest(): H2Request {
    const request = this.#free.pop() ?? new H2Request(this, this.#context);
    this.#requests.add(request);
    return request;
  }
}
