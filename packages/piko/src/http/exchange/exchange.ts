// One request and its response, between the client's side and an upstream's call: which side waits for the other, what is
// retried, and what a failure of one side means to the other. It knows no protocol: codecs on both sides do. Nodes and
// agents reuse one exchange for many requests; nothing here allocates per request.

import type { HttpError } from "../errors.js";
import type { RequestHead, ResponseHead } from "../head.js";
import { valueAt } from "../find-field.js";
import { PLAIN_REQUEST, type RequestRewrite } from "../request-rewrite.js";
import { requestedProtocols, switchesTo } from "../switching.js";
import { deadlineAfter, type Expiring } from "../../net/deadline-sweep.js";
import { type Reason, REASONS, reasonOf } from "../reasons.js";
import { CLIENT_CLOSED_REQUEST, type RequestRecord } from "../../observability/request-record.js";
import type { ClientEvents, ClientSide, Trailers } from "./client-side.js";
import type { Dispatch } from "./dispatch.js";
import type { ExchangeContext } from "./exchange-context.js";
import type { Lifecycle } from "./lifecycle.js";
import { RequestReplay } from "./request-replay.js";
import type { Seen, UpstreamCall, UpstreamEvents } from "./upstream-call.js";

// Phases of the exchange.
/** No request. */
const IDLE = 0;
/** There is no call yet: the request is kept as it arrives. */
const HELD = 1;
/** The request was sent; no final response head has arrived yet. */
const AWAITING_HEAD = 2;
/** The response head was sent to the client. */
const RESPONDING = 3;
/** A 101 was sent to the client. */
const RAW = 4;

export class Exchange implements ClientEvents, UpstreamEvents, Expiring {
  readonly client: ClientSide;
  readonly record: RequestRecord;
  /** Why the request's last call was lost; undefined for none. */
  lost: Reason | undefined;
  /** The changes to the head for the next hop; set by the life cycle. */
  rewrite: RequestRewrite;
  readonly #context: ExchangeContext;
  readonly #lifecycle: Lifecycle;
  readonly #dispatch: Dispatch;
  readonly #replay: RequestReplay;
  #phase: number;
  #call: UpstreamCall | undefined;
  /** The request is complete; after a switch: the client has ended its direction. */
  #requestEnded: boolean;
  /** The request has a body. */
  #hasBody: boolean;
  /** The protocols that the request asks to switch to, in lower case; empty for none. */
  #requestedProtocols: string;
  /** Bytes of the request's body, or raw ones, that have arrived. */
  #requestBytes: number;
  /** Request bytes that the client's side still counts as held. */
  #heldBytes: number;
  #deadlineMs: number;
  #status: number;
  #upstreamEnded: boolean;
  #responseBytes: number;
  /** Received bytes that are queued in the client's connection. Upstream gets room for as many more when they have left. */
  #unconsumed: number;

  /** `build` creates the life cycle and the dispatch; neither is called before the exchange is complete. */
  constructor(
    client: ClientSide,
    record: RequestRecord,
    context: ExchangeContext,
    build: (exchange: Exchange) => { lifecycle: Lifecycle; dispatch: Dispatch },
  ) {
    this.client = client;
    this.record = record;
    this.lost = undefined;
    this.rewrite = PLAIN_REQUEST;
    this.#context = context;
    this.#replay = new RequestReplay(context.budget, context.maxReplayBytes, context.readHead);
    this.#phase = IDLE;
    this.#call = undefined;
    this.#requestEnded = true;
    this.#hasBody = false;
    this.#requestedProtocols = "";
    this.#requestBytes = 0;
    this.#heldBytes = 0;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    this.#status = 0;
    this.#upstreamEnded = false;
    this.#responseBytes = 0;
    this.#unconsumed = 0;
    const { dispatch, lifecycle } = build(this);
    this.#lifecycle = lifecycle;
    this.#dispatch = dispatch;
  }

  /** The client's connection has ended, and the exchange won't be used again. */
  release(): void {
    this.#replay.release();
  }

  // The client's side.

  onRequest(head: RequestHead, last: boolean): void {
    const { timeoutMs } = this.#context;
    this.record.begin(head, this.client.senderOf(head));
    this.#deadlineMs = deadlineAfter(this.record.startMs, timeoutMs);
    this.#phase = HELD;
    this.lost = undefined;
    this.#requestEnded = last;
    this.#hasBody = !last;
    this.#requestedProtocols = head.upgrade ? requestedProtocols(head) : "";
    this.#requestBytes = 0;
    this.#heldBytes = 0;
    this.#status = 0;
    this.#upstreamEnded = false;
    this.#responseBytes = 0;
    this.#unconsumed = 0;
    this.#lifecycle.begin(head);
  }

  onRequestBody(buffer: Buffer, start: number, end: number): void {
    const call = this.#call;
    // Answered already: the client's side discards the rest, or ends.
    if (this.#phase === IDLE) return;
    const count = end - start;
    this.#requestBytes += count;
    if (this.#replay.whole) this.#replay.add(buffer, start, end, call === undefined);
    if (call === undefined) {
      this.#heldBytes += count;
      return;
    }
    call.write(buffer, start, end);
    this.#moveDeadline();
    if (!call.congested) this.client.consume(count);
    else if (this.#context.budget.exhausted) this.onRequestRefused(this.#context.noMemory);
    else this.#heldBytes += count;
  }

  onRequestEnd(trailers: Trailers | undefined): void {
    this.#requestEnded = true;
    if (this.#phase === IDLE) return;
    if (this.#replay.whole) this.#replay.end(trailers);
    this.#call?.end(trailers);
    if (this.#phase === RAW) this.#closeIfOver();
  }

  onClientClosed(): void {
    if (this.#phase !== RAW) return;
    this.#upstreamEnded = true;
    this.onRequestEnd(undefined);
  }

  onRequestRefused(refusal: HttpError): void {
    if (this.#phase === IDLE) return;
    this.#context.onRefused(refusal);
    const { reason } = refusal;
    this.#dropCall(reason);
    if (this.#phase <= AWAITING_HEAD) {
      this.reply(reason, refusal.status, refusal.message, this.#context.fieldsOf(refusal));
    } else this.#cut(reason);
  }

  onClientWritable(): void {
    const count = this.#unconsumed;
    if (count === 0) return;
    this.#unconsumed = 0;
    this.#call?.consume(count);
  }

  onClientGone(why: Reason): void {
    if (this.#phase === IDLE) return;
    const status = this.#phase <= AWAITING_HEAD ? CLIENT_CLOSED_REQUEST : this.#status;
    this.record.reason = why;
    this.#dropCall(why);
    this.#over(status);
  }

  // The life cycle and the dispatch.

  /** Looks for an upstream. `head`: the head of the request, if it is still valid. */
  dispatch(head: RequestHead): void {
    this.#replay.begin(head);
    this.#dispatch.connect(head);
  }

  /** Holds the request until a decision about it; `resume` follows, unless the request ends first. */
  hold(head: RequestHead): void {
    this.#replay.begin(head);
  }

  /** The head of a request that was held, for the code that continues with it. */
  heldHead(): RequestHead {
    return this.#replay.head();
  }

  /** Looks for an upstream for a request that was held. */
  resume(): void {
    this.#dispatch.connect(undefined);
  }

  /** Called by the dispatch: sends the request to this upstream. `head`: as in `dispatch`. */
  start(call: UpstreamCall, head: RequestHead | undefined): void {
    this.#call = call;
    this.#phase = AWAITING_HEAD;
    if (head !== undefined) {
      // In the turn in which the request arrived.
      this.record.sent(this.record.startMs);
      call.send(head, this.rewrite, !this.#hasBody);
      return;
    }
    // The request has waited, or was on another call before.
    const nowMs = this.#context.clock.now();
    this.record.sent(nowMs);
    this.#deadlineMs = deadlineAfter(nowMs, this.#context.timeoutMs);
    call.send(this.#replay.head(), this.rewrite, !this.#hasBody);
    if (this.#hasBody) this.#replay.sendBody(call, this.#requestEnded);
    if (!call.congested) this.#consumeHeld();
  }

  /** For the dispatch: no part of a response has arrived, and all of the request is still available: it can be retried. */
  get repeatable(): boolean {
    return this.#phase === AWAITING_HEAD && this.#replay.whole;
  }

  /** The request has become something else, which accounts for itself. It was the last one. */
  leave(): void {
    this.#phase = IDLE;
    this.#replay.release();
    this.#dispatch.clear();
    this.record.abandon();
  }

  /** Responds instead of an upstream. `reason`: of a failure. `fields`: complete field lines. */
  reply(reason: Reason | undefined, status: number, message: string | undefined, fields = ""): void {
    const { record } = this;
    this.#dropCall(REASONS.early);
    record.reason = reason;
    const { endpointId } = record;
    this.#responseBytes = this.client.reply({ status, reason, endpointId, message, fields });
    // `#over` comes first, because the client's side may begin the next request in `end`.
    this.#over(status);
    this.client.end(undefined);
  }

  /** Answers a request that a limit refuses. */
  refuse(refusal: HttpError): void {
    this.#context.onRefused(refusal);
    this.reply(refusal.reason, refusal.status, refusal.message, this.#context.fieldsOf(refusal));
  }

  /** Checks the timeouts. Called regularly by the side whose own deadlines are checked. */
  sweep(nowMs: number): void {
    if (this.#phase === HELD || this.#phase === AWAITING_HEAD) this.#dispatch.sweep(nowMs);
    if (this.#phase !== AWAITING_HEAD || nowMs < this.#deadlineMs) return;
    const call = this.#call;
    // The upstream may be waiting for the client, whose pauses have their own timeout.
    if (call === undefined || (!this.#requestEnded && !call.congested && !call.connecting)) return;
    if (this.client.waitsIndefinitely && !call.connecting) return;
    if (this.#dispatch.continueAfterTimeout(nowMs)) return;
    this.#fail(call.connecting ? REASONS.connect_timeout : REASONS.timeout, REASONS.timeout.message);
  }

  // The upstream.

  onInform(head: ResponseHead): void {
    this.#replay.forget();
    this.client.inform(head);
    this.#taken(head.end - head.start);
  }

  onSwitch(head: ResponseHead): boolean {
    if (!switchesTo(this.#requestedProtocols, head) || !this.#requestEnded) return false;
    this.#replay.forget();
    this.#phase = RAW;
    this.#status = head.status;
    this.#requestEnded = false;
    this.record.response(head);
    this.client.switchTo(head, this.#call?.halfClose === true);
    return true;
  }

  onResponse(head: ResponseHead, last: boolean): void {
    this.#replay.forget();
    this.#phase = RESPONDING;
    this.#status = head.status;
    if (head.reasonField >= 0 && this.#context.upstreamsSendReasons)
      this.record.reason = reasonOf(valueAt(head, head.reasonField));
    this.record.response(head);
    this.client.respond(head, last);
    if (last) this.#complete(undefined);
  }

  onResponseBody(buffer: Buffer, start: number, end: number): void {
    this.#responseBytes += end - start;
    this.client.write(buffer, start, end);
    this.#taken(end - start);
  }

  onResponseEnd(trailers: Trailers | undefined): void {
    if (this.#phase !== RAW) {
      this.#complete(trailers);
      return;
    }
    this.#upstreamEnded = true;
    if (this.#call?.halfClose === false) this.#requestEnded = true;
    this.client.end(undefined);
    this.#closeIfOver();
  }

  onUpstreamTurn(): void {
    this.client.flush();
  }

  onUpstreamWritable(): void {
    this.#moveDeadline();
    this.#consumeHeld();
    if (this.#phase === RAW) this.#closeIfOver();
  }

  onLost(why: Reason, seen: Seen, detail: string): void {
    this.#call = undefined;
    if (this.#phase === AWAITING_HEAD) {
      this.#phase = HELD;
      this.lost = why;
      this.record.lost(why);
      if (seen !== "answered" && this.#replay.whole && this.#dispatch.retry(seen)) return;
      this.#phase = AWAITING_HEAD;
    }
    this.#fail(why, detail);
  }

  /** The request can't be answered as it should be: the client gets an error, or its response is cut. */
  #fail(why: Reason, detail: string): void {
    this.#context.onFailed(why, detail, this.record);
    this.#dropCall(why);
    if (this.#phase > AWAITING_HEAD) this.#cut(why);
    else if (why === REASONS.timeout || why === REASONS.connect_timeout) {
      this.reply(why, 504, REASONS.timeout.message);
    } else if (why === REASONS.limit) this.refuse(this.#context.noMemory);
    else this.reply(why, 502, REASONS.connect_failed.message);
  }

  /** The response is complete. */
  #complete(trailers: Trailers | undefined): void {
    const call = this.#call;
    this.#call = undefined;
    // A response before the end of its request: the upstream wants no more of the request, but may still expect it.
    if (!this.#requestEnded || this.#heldBytes > 0) call?.abort(REASONS.early);
    else call?.release();
    this.#over(this.#status);
    this.client.end(trailers);
  }

  #cut(why: Reason): void {
    this.record.reason = why;
    this.#over(this.#status);
    this.client.abort(why);
  }

  /** Ends the exchange if both directions have ended, and all of their bytes were sent. */
  #closeIfOver(): void {
    const call = this.#call;
    if (!this.#requestEnded || !this.#upstreamEnded || call?.congested === true) return;
    this.#call = undefined;
    call?.release();
    this.#over(this.#status);
    this.client.close();
  }

  /** `count` bytes from the upstream went to the client's side: grants as many more, now or when they have left. */
  #taken(count: number): void {
    if (this.client.congested) this.#unconsumed += count;
    else this.#call?.consume(count);
  }

  #consumeHeld(): void {
    const count = this.#heldBytes;
    if (count === 0) return;
    this.#heldBytes = 0;
    this.client.consume(count);
  }

  /** The timeout for the response head counts from when the upstream accepted the last bytes of the request. */
  #moveDeadline(): void {
    const { clock, timeoutMs } = this.#context;
    if (this.#phase !== AWAITING_HEAD || timeoutMs === 0) return;
    if (this.#call?.connecting !== true) this.#deadlineMs = clock.now() + timeoutMs;
  }

  #dropCall(why: Reason): void {
    const call = this.#call;
    this.#call = undefined;
    call?.abort(why);
  }

  /** Accounts for the request, once, and forgets it. */
  #over(status: number): void {
    this.#phase = IDLE;
    this.#replay.forget();
    this.#lifecycle.abandon();
    this.#dispatch.clear();
    this.record.end(status, this.#requestBytes, this.#responseBytes);
  }
}
