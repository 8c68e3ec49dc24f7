// Reads the response to one request from the bytes of a stream or a connection, and reports it as events of an upstream:
// heads, body bytes without their framing, the end. Used for tunnels, hops and services.

import { REASONS, type Reason } from "../reasons.js";
import type { UpstreamEvents } from "../exchange/upstream-call.js";
import { BODY_NONE, BODY_UNTIL_CLOSE, responseBody } from "../body-framing.js";
import { HEAD_INCOMPLETE, HEAD_INVALID, type ResponseHead } from "../head.js";
import { type ByteBudget, SMALL_HEAD_BYTES } from "../../net/byte-budget.js";
import { ByteStore } from "../../net/byte-store.js";
import { BODY_INVALID, BodyReader, type BodySink } from "./body-reader.js";
import { END_INVALID, END_UNKNOWN, HeadEndFinder } from "./find-head-end.js";
import { parseResponseHead } from "./parse-response-head.js";

/** The events of a response. A malformed one is reported separately, because its owner has to release the call first. */
export interface ResponseEvents
  extends Pick<UpstreamEvents, "onInform" | "onSwitch" | "onResponse" | "onResponseBody" | "onResponseEnd"> {
  /** The response can't be passed on. Nothing is read after it. */
  onBadResponse(why: Reason, detail: string): void;
}

/** What all readers of a process or port share. */
export interface ResponseReaderLimits {
  /** Filled by each parse, valid until the next one. */
  readonly head: ResponseHead;
  readonly maxHeadBytes: number;
  /** Budget for heads that arrive in parts. */
  readonly budget: ByteBudget;
}

/** No request was sent, or it has its complete response. */
const IDLE = 0;
const HEAD = 1;
const BODY = 2;
/** After a 101. */
const RAW = 3;

export class ResponseReader implements BodySink {
  /** A byte of the response has arrived. */
  begun: boolean;
  /** The connection can be reused: the response allows it and is complete, and nothing has arrived after it. */
  persistent: boolean;
  readonly #events: ResponseEvents;
  readonly #limits: ResponseReaderLimits;
  readonly #body: BodyReader;
  readonly #finder: HeadEndFinder;
  readonly #partial: ByteStore;
  #phase: number;
  #method: string;
  /** Bytes of the current read that were passed on. */
  #passedOn: number;
  /** Counts responses. An event of one may begin the next; the rest of the current read doesn't belong to that one. */
  #turn: number;

  constructor(events: ResponseEvents, limits: ResponseReaderLimits) {
    this.begun = false;
    this.persistent = false;
    this.#events = events;
    this.#limits = limits;
    this.#body = new BodyReader("response", limits.budget);
    this.#finder = new HeadEndFinder();
    this.#partial = new ByteStore(limits.budget);
    this.#phase = IDLE;
    this.#method = "";
    this.#passedOn = 0;
    this.#turn = 0;
  }

  /** A response to a request of this method is expected. */
  begin(method: string): void {
    this.begun = false;
    this.persistent = false;
    this.#turn++;
    this.#method = method;
    this.#phase = HEAD;
  }

  /** Stops reading. */
  stop(): void {
    this.#phase = IDLE;
    if (this.#partial.length > 0) this.#partial.clear();
    this.#body.clear();
  }

  /** The final head hasn't arrived. */
  get awaitingHead(): boolean {
    return this.#phase === HEAD;
  }

  /** Raw bytes are passed on. */
  get raw(): boolean {
    return this.#phase === RAW;
  }

  /** Reads bytes. Returns how many were passed on, as interim heads, body or raw bytes. The others need no `consume`. */
  read(buffer: Buffer, start: number, end: number): number {
    this.#passedOn = 0;
    this.begun = true;
    if (this.#partial.length > 0) this.#continueHead(buffer, start, end);
    else this.#read(buffer, start, end);
    return this.#passedOn;
  }

  /** The connection ended. Reports `onResponseEnd` and returns true if that completes the response or a raw direction. */
  finish(): boolean {
    if (this.#phase === RAW || (this.#phase === BODY && this.#body.finish())) {
      this.#phase = IDLE;
      this.persistent = false;
      this.#events.onResponseEnd(undefined);
      return true;
    }
    return false;
  }

  /** Called by the body reader. */
  onBody(buffer: Buffer, start: number, end: number): void {
    this.#passedOn += end - start;
    this.#events.onResponseBody(buffer, start, end);
  }

  #read(buffer: Buffer, start: number, end: number): void {
    const turn = this.#turn;
    let at = start;
    while (this.#phase === HEAD) {
      if (at === end) return;
      const { head, maxHeadBytes } = this.#limits;
      const result = parseResponseHead(head, buffer, at, end);
      if (result === HEAD_INCOMPLETE) {
        this.#finder.reset();
        this.#continueHead(buffer, at, end);
        return;
      }
      if (result === HEAD_INVALID) {
        this.#refuse(REASONS.bad_response, head.error?.message ?? "invalid response head");
        return;
      }
      if (head.end - head.start > maxHeadBytes) {
        this.#refuse(REASONS.head_too_large, `response head above ${maxHeadBytes} bytes`);
        return;
      }
      at = head.end;
      this.#onHead(head, at === end);
      if (turn !== this.#turn) return;
    }
    if (at === end) return;
    if (this.#phase === BODY) this.#readBody(buffer, at, end);
    else if (this.#phase === RAW) this.onBody(buffer, at, end);
  }

  #readBody(buffer: Buffer, start: number, end: number): void {
    const body = this.#body;
    const next = body.read(buffer, start, end, this);
    // The receiver of the body may have released the call.
    if (this.#phase !== BODY) return;
    if (next === BODY_INVALID) {
      this.#refuse(REASONS.bad_response, body.error?.message ?? "invalid response body");
    } else if (body.done) {
      if (next !== end) this.persistent = false;
      this.#phase = IDLE;
      this.#events.onResponseEnd(body.trailers);
    }
  }

  #onHead(head: ResponseHead, whole: boolean): void {
    if (head.status === 101) {
      // Raw bytes follow, or nothing: a receiver that doesn't switch stops the reader.
      this.#phase = RAW;
      if (!this.#events.onSwitch(head) && this.#phase === RAW) {
        this.#refuse(REASONS.bad_switch, REASONS.bad_switch.message);
      }
      return;
    }
    if (head.status < 200) {
      // There may be any number of them, so their bytes count as unconsumed, like those of a body.
      this.#passedOn += head.end - head.start;
      this.#events.onInform(head);
      return;
    }
    const kind = responseBody(head, this.#method);
    this.persistent = isPersistent(head, kind);
    this.#body.reset(kind, head.contentLength);
    if (!this.#body.done) {
      this.#phase = BODY;
      this.#events.onResponse(head, false);
      return;
    }
    if (!whole) this.persistent = false;
    this.#phase = IDLE;
    this.#events.onResponse(head, true);
  }

  #continueHead(buffer: Buffer, start: number, end: number): void {
    const partial = this.#partial;
    const { budget, maxHeadBytes } = this.#limits;
    partial.append(buffer, start, end);
    const found = this.#finder.find(partial.buffer, partial.start, partial.end);
    if (found === END_UNKNOWN) {
      if (partial.length > maxHeadBytes) {
        this.#refuse(REASONS.head_too_large, `response head above ${maxHeadBytes} bytes`);
      } else if (budget.exhausted && partial.length > SMALL_HEAD_BYTES) {
        this.#refuse(REASONS.limit, "too many bytes wait");
      }
      return;
    }
    if (found === END_INVALID) {
      this.#refuse(REASONS.bad_response, this.#finder.error?.message ?? "invalid response head");
      return;
    }
    const { buffer: bytes, start: from, end: to } = partial;
    partial.clear();
    this.#read(bytes, from, to);
  }

  #refuse(why: Reason, detail: string): void {
    this.stop();
    this.persistent = false;
    this.#events.onBadResponse(why, detail);
  }
}

/**
 * Whether another response may follow on the connection. A response that has no body because of its method or status (HEAD,
 * 204, 304) but announces one isn't trusted: services that get this wrong may send the body after all, and so late that it
 * looks like the response to the next request.
 */
function isPersistent(head: ResponseHead, kind: number): boolean {
  if (kind === BODY_UNTIL_CLOSE || head.connectionClose) return false;
  if (kind === BODY_NONE && (head.contentLength > 0 || head.chunked)) return false;
  return head.minorVersion === 1 || head.connectionKeepAlive;
}
