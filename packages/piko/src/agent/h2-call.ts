// One request of an exchange, on a stream of an HTTP/2 connection to a service. A connection reuses these objects; it has
// as many as it had concurrent requests.

import { BODY_LENGTH, BODY_NONE, responseBody } from "../http/body-framing.js";
import { type Reason, REASONS } from "../http/reasons.js";
import type { Trailers } from "../http/exchange/client-side.js";
import type { Seen, UpstreamCall, UpstreamEvents } from "../http/exchange/upstream-call.js";
import { parseResponseHead } from "../http/h1/parse-response-head.js";
import { CANCEL, CONNECTION_GONE, PROTOCOL_ERROR, REFUSED_STREAM } from "../http/h2/error-codes.js";
import { filterTrailers } from "../http/h2/filter-trailers.js";
import type { ResponseFields } from "../http/h2/response-fields.js";
import type { H2Stream, StreamHandler } from "../http/h2/stream.js";
import { HEAD_COMPLETE, type RequestHead, type ResponseHead } from "../http/head.js";
import type { RequestRewrite } from "../http/request-rewrite.js";

/** What a call needs from its connection. */
export interface CallConnection {
  /** The socket accepts no more bytes now. */
  readonly congested: boolean;
  /** The service hasn't confirmed yet that it speaks HTTP/2. */
  readonly connecting: boolean;
  /** The connection uses TLS. */
  readonly secure: boolean;
  /** Why the connection ended, as a reason and in words. */
  readonly reason: Reason;
  readonly failure: string;
  /** Filled by each parse, valid until the next one. */
  readonly responseHead: ResponseHead;
  /** Opens a stream for a call. */
  open(call: H2Call): H2Stream;
  /** The current read has events for this call. Ends the turn of the call before it, whose collected bytes are flushed. */
  touch(call: H2Call): void;
  /** The call has ended, and its object can be reused. */
  onCallOver(call: H2Call): void;
}

export class H2Call implements UpstreamCall, StreamHandler {
  readonly halfClose = true;
  readonly #connection: CallConnection;
  #events: UpstreamEvents | undefined;
  #stream: H2Stream | undefined;
  #method: string;
  /** The connection was established before this request was sent, so its loss can't mean that the service isn't there. */
  #wasEstablished: boolean;
  /** `write` found the connection congested, so `onUpstreamWritable` has to follow. */
  #blocked: boolean;
  /** Remaining bytes of the body according to its head, or -1. */
  #bodyLeft: number;
  /** Bytes of interim heads that the exchange holds: they aren't counted by a window. */
  #headBytes: number;

  constructor(connection: CallConnection) {
    this.#connection = connection;
    this.#events = undefined;
    this.#stream = undefined;
    this.#method = "";
    this.#wasEstablished = false;
    this.#blocked = false;
    this.#bodyLeft = -1;
    this.#headBytes = 0;
  }

  /** Called by the connection: the next request is this exchange's. */
  assign(events: UpstreamEvents): void {
    this.#events = events;
    this.#blocked = false;
    this.#bodyLeft = -1;
    this.#headBytes = 0;
  }

  /** Called by the connection: all of the call's events in this read have been reported. */
  endTurn(): void {
    this.#events?.onUpstreamTurn();
  }

  /** Called by the connection: checks the timeouts. */
  sweep(nowMs: number): void {
    this.#events?.sweep(nowMs);
  }

  // The exchange.

  get congested(): boolean {
    return this.#connection.congested || (this.#stream?.pendingBytes ?? 0) > 0;
  }

  get connecting(): boolean {
    return this.#connection.connecting;
  }

  send(head: RequestHead, rewrite: RequestRewrite, last: boolean): void {
    const connection = this.#connection;
    this.#method = head.method;
    this.#wasEstablished = !connection.connecting;
    const stream = connection.open(this);
    this.#stream = stream;
    stream.request(head, rewrite, connection.secure, last);
  }

  write(buffer: Buffer, start: number, end: number): void {
    this.#stream?.write(buffer, start, end);
    this.#blocked = this.congested;
  }

  end(trailers: Trailers | undefined): void {
    this.#stream?.end(trailers);
  }

  consume(count: number): void {
    // Interim heads arrive before the body, so they are consumed first.
    const heads = Math.min(count, this.#headBytes);
    this.#headBytes -= heads;
    if (count > heads) this.#stream?.consume(count - heads);
  }

  abort(_why: Reason): void {
    const stream = this.#stream;
    this.#leave();
    stream?.reset(CANCEL);
  }

  release(): void {
    const stream = this.#stream;
    this.#leave();
    // The response was complete with its head, but its stream hasn't ended: anything else on it isn't wanted.
    if (stream !== undefined && !(stream.receiveEnded && stream.sendEnded)) stream.reset(CANCEL);
  }

  // The stream.

  /** A head has arrived; `fields` has its fields. `last`: nothing follows. */
  onHead(fields: ResponseFields, last: boolean): void {
    const head = this.#connection.responseHead;
    this.#connection.touch(this);
    fields.finish(last, this.#method === "HEAD");
    if (fields.tooLarge) this.#refuse(REASONS.head_too_large, REASONS.head_too_large.message);
    else if (fields.malformed !== undefined) this.#refuse(REASONS.bad_response, fields.malformed);
    else if (parseResponseHead(head, fields.buffer, fields.start, fields.end) !== HEAD_COMPLETE) {
      this.#refuse(REASONS.bad_response, head.error?.message ?? "invalid response head");
    } else this.#onParsed(head, last);
  }

  onData(buffer: Buffer, start: number, end: number): void {
    if (this.#bodyLeft >= 0) {
      this.#bodyLeft -= end - start;
      if (this.#bodyLeft < 0) {
        this.#refuse(REASONS.bad_response, BODY_LENGTH_DIFFERS);
        return;
      }
    }
    this.#connection.touch(this);
    this.#events?.onResponseBody(buffer, start, end);
  }

  onEnd(lines: Buffer | undefined): void {
    this.#connection.touch(this);
    const trailers = lines === undefined ? undefined : filterTrailers(lines);
    if (this.#bodyLeft > 0) this.#refuse(REASONS.bad_response, BODY_LENGTH_DIFFERS);
    else if (trailers === null) this.#refuse(REASONS.bad_response, "invalid trailer section");
    else this.#events?.onResponseEnd(trailers);
  }

  onWritable(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#events?.onUpstreamWritable();
  }

  onReset(code: number): void {
    this.#connection.touch(this);
    const events = this.#events;
    const awaitsHead = this.#stream?.awaitsHead === true;
    this.#leave();
    if (code === REFUSED_STREAM) events?.onLost(REASONS.refused, "no", "stream refused");
    else if (!awaitsHead) {
      events?.onLost(
        REASONS.cut,
        "answered",
        code === CONNECTION_GONE ? this.#connection.failure : resetBy(code),
      );
    } else if (code === CONNECTION_GONE) {
      const seen: Seen = this.#wasEstablished ? "stale" : "maybe";
      events?.onLost(this.#connection.reason, seen, this.#connection.failure);
    } else events?.onLost(REASONS.reset, "maybe", resetBy(code));
  }

  #onParsed(head: ResponseHead, last: boolean): void {
    this.#connection.touch(this);
    if (head.status < 200) {
      this.#headBytes += head.end - head.start;
      this.#events?.onInform(head);
      return;
    }
    const kind = responseBody(head, this.#method);
    if (kind === BODY_LENGTH) {
      this.#bodyLeft = head.contentLength;
      if (last) {
        this.#refuse(REASONS.bad_response, BODY_LENGTH_DIFFERS);
        return;
      }
    }
    this.#events?.onResponse(head, last || kind === BODY_NONE);
  }

  /** The response is malformed. */
  #refuse(why: Reason, detail: string): void {
    const events = this.#events;
    const stream = this.#stream;
    this.#leave();
    stream?.reset(PROTOCOL_ERROR);
    events?.onLost(why, "answered", detail);
  }

  #leave(): void {
    if (this.#events === undefined) return;
    this.#events = undefined;
    this.#stream = undefined;
    this.#connection.onCallOver(this);
  }
}

const BODY_LENGTH_DIFFERS = "body and content-length differ";

function resetBy(code: number): string {
  return `stream reset with code ${code}`;
}
