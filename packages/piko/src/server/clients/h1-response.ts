// Writes the response to one request of an HTTP/1.1 connection: heads, the body framed as its client understands it, or a
// response of the node itself; and decides, once, whether the connection stays open afterwards.

import type { Outbox } from "@piko/tunnel";
import { emptyResponse, errorBody, errorResponse } from "../../http/h1/error-response.js";
import { responseHeadCapacity, writeResponseHead } from "../../http/h1/rewrite-response-head.js";
import { writeBody, writeLastChunk } from "../../http/h1/write-body.js";
import type { HttpError } from "../../http/errors.js";
import type { LocalReply, Trailers } from "../../http/exchange/client-side.js";
import type { RequestHead, ResponseHead } from "../../http/head.js";
import { grpcRequestType, isStreaming } from "../../http/grpc.js";
import type { DateLine } from "../../http/date-line.js";
import { saysHalfClose } from "../../http/half-close.js";
import { isForNodes } from "../upstream/hop/forwarded.js";
import { ResponseFraming } from "./response-framing.js";

/** Longer bodies come in parts, and fill memory of their own. */
const MAX_ROOM_BYTES = 32 * 1024;

/** One per connection, for one response after another. */
export class H1Response {
  readonly #out: Outbox;
  readonly #dateLine: DateLine;
  readonly #framing: ResponseFraming;
  #method: string;
  #http10: boolean;
  /** As far as the request goes, the connection may carry another. */
  #wantsKeepAlive: boolean;
  /** The sender of an upgrade request supports half-closes: it says so, or is a node. */
  #asksHalfClose: boolean;
  /** The content type of a gRPC request. */
  #grpcType: string | undefined;

  constructor(out: Outbox, dateLine: DateLine) {
    this.#out = out;
    this.#dateLine = dateLine;
    this.#framing = new ResponseFraming();
    this.#method = "";
    this.#http10 = false;
    this.#wantsKeepAlive = false;
    this.#asksHalfClose = false;
    this.#grpcType = undefined;
  }

  /** The next response is to this request. */
  begin(head: RequestHead, fromNode: boolean): void {
    this.#method = head.method;
    this.#http10 = head.minorVersion === 0;
    const wanted = this.#http10 ? head.connectionKeepAlive : !head.connectionClose;
    // After an upgrade request that was declined, bytes may be of either protocol; so the connection ends.
    this.#wantsKeepAlive = wanted && !head.upgrade;
    this.#asksHalfClose = head.upgrade && (saysHalfClose(head) || fromNode);
    this.#grpcType = grpcRequestType(head);
    this.#framing.chunking = false;
    this.#framing.untilClose = false;
  }

  /** The request is gRPC, and not of the kind that browsers speak. */
  get streaming(): boolean {
    return isStreaming(this.#grpcType);
  }

  /** The connection continues after the response whose head, or all, is written. */
  get keepAlive(): boolean {
    return this.#framing.keepAlive;
  }

  /** The body in progress ends with the connection, so that its end has to be distinguished from a cut. */
  get untilClose(): boolean {
    return this.#framing.untilClose;
  }

  /** An interim response. HTTP/1.0 has none: its clients would take it for the response. */
  inform(head: ResponseHead): void {
    if (this.#http10) return;
    this.#framing.setBodiless(false);
    this.#writeHead(head);
  }

  /** A 101. `halfClose`: each direction after it ends by itself; said to our peers only, nodes among them. */
  switch(head: ResponseHead, halfClose: boolean): void {
    this.#framing.setBodiless(halfClose && this.#asksHalfClose);
    this.#writeHead(head);
  }

  /** The final head. `mayKeepAlive`: nothing about the connection prevents it. */
  respond(head: ResponseHead, mayKeepAlive: boolean): void {
    this.#framing.setFinal(head, this.#method, this.#http10, mayKeepAlive && this.#wantsKeepAlive);
    this.#writeHead(head);
  }

  write(buffer: Buffer, start: number, end: number): void {
    writeBody(this.#out, this.#framing.chunking, buffer, start, end);
  }

  end(trailers: Trailers | undefined): void {
    if (this.#framing.chunking) writeLastChunk(this.#out, trailers);
  }

  /** A whole response of the node's own. `mayKeepAlive` as above. Returns the bytes of its body. */
  reply({ endpointId, fields, message, reason, status }: LocalReply, mayKeepAlive: boolean): number {
    this.#framing.keepAlive = mayKeepAlive && this.#wantsKeepAlive;
    const close = !this.#framing.keepAlive;
    const dateLine = this.#dateLine.get();
    const headOnly = this.#method === "HEAD";
    // Nodes look at HTTP's status of what they may send elsewhere.
    const grpcType = isForNodes(fields) ? undefined : this.#grpcType;
    this.#out.writeLatin1(
      message === undefined
        ? emptyResponse(dateLine, close)
        : errorResponse({
            ...{ status, message, reason, endpointId, dateLine, close, headOnly, grpcType },
            extra: fields,
          }),
    );
    if (message === undefined || headOnly || grpcType !== undefined) return 0;
    return errorBody({ status, message, reason, endpointId }).length;
  }

  /** The answer to what is no request, and so the last of its connection. `extra`: whole field lines. */
  refuse({ status, message, reason }: HttpError, extra: string): void {
    const dateLine = this.#dateLine.get();
    this.#out.writeLatin1(
      errorResponse({ status, message, reason, dateLine, close: true, headOnly: false, extra }),
    );
  }

  #writeHead(head: ResponseHead): void {
    const { rewrite } = this.#framing;
    rewrite.dateLine = head.hasDate ? undefined : this.#dateLine.get();
    // With the room that a body of moderate length needs, both are written to the same memory.
    const room = head.contentLength > 0 && head.contentLength <= MAX_ROOM_BYTES ? head.contentLength : 0;
    const at = this.#out.reserve(responseHeadCapacity(head, rewrite) + room);
    this.#out.advance(writeResponseHead(head, this.#out.slab as Buffer, at, rewrite));
  }
}
