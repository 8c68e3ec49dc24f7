// Writes the response to one request of an HTTP/1.1 connection: heads, the body with a framing that its client supports, or a
// response of the node itself. Decides once whether the connection stays open afterwards.

import type { Outbox } from "@piko/tunnel";
import { emptyResponse, errorBody, errorResponse } from "../../http/h1/error-response.js";
import { responseHeadCapacity, writeResponseHead } from "../../http/h1/rewrite-response-head.js";
import { writeBody, writeLastChunk } from "../../http/h1/write-body.js";
import type { HttpError } from "../../http/errors.js";
import type { LocalReply, Trailers } from "../../http/exchange/client-side.js";
import type { RequestHead, ResponseHead } from "../../http/head.js";
import { grpcRequestType, isStreaming } from "../../http/grpc.js";
import type { DateLine } from "../../http/date-line.js";
import { announcesHalfClose } from "../../http/half-close.js";
import { isForNodes } from "../upstream/hop/forwarded.js";
import { ResponseFraming } from "./response-framing.js";

/** Longer bodies arrive in parts, and fill slabs of their own. */
const MAX_ROOM_BYTES = 32 * 1024;

/** One per connection; writes one response after another. */
export class H1Response {
  readonly #out: Outbox;
  readonly #dateLine: DateLine;
  readonly #framing: ResponseFraming;
  #method: string;
  #http10: boolean;
  /** Whether the request allows the connection to stay open. */
  #wantsKeepAlive: boolean;
  /** Whether the sender of an upgrade request supports half-close: it offers the capability, or is a node. */
  #requestsHalfClose: boolean;
  /** The content type of a gRPC request; undefined for others. */
  #grpcType: string | undefined;

  constructor(out: Outbox, dateLine: DateLine) {
    this.#out = out;
    this.#dateLine = dateLine;
    this.#framing = new ResponseFraming();
    this.#method = "";
    this.#http10 = false;
    this.#wantsKeepAlive = false;
    this.#requestsHalfClose = false;
    this.#grpcType = undefined;
  }

  /** Begins the response to this request. */
  begin(head: RequestHead, fromNode: boolean): void {
    this.#method = head.method;
    this.#http10 = head.minorVersion === 0;
    const wanted = this.#http10 ? head.connectionKeepAlive : !head.connectionClose;
    // After a declined upgrade request, further bytes may be of either protocol, so the connection ends.
    this.#wantsKeepAlive = wanted && !head.upgrade;
    this.#requestsHalfClose = head.upgrade && (announcesHalfClose(head) || fromNode);
    this.#grpcType = grpcRequestType(head);
    this.#framing.chunking = false;
    this.#framing.untilClose = false;
  }

  /** Whether the request is gRPC, but not gRPC-Web. */
  get streaming(): boolean {
    return isStreaming(this.#grpcType);
  }

  /** Whether the connection continues after the current response; valid once its head is written. */
  get keepAlive(): boolean {
    return this.#framing.keepAlive;
  }

  /** Whether the body in progress ends with the connection, so that a cut must look different from an end. */
  get untilClose(): boolean {
    return this.#framing.untilClose;
  }

  /** Writes an interim response; not to HTTP/1.0 clients, which would take it for the final one. */
  inform(head: ResponseHead): void {
    if (this.#http10) return;
    this.#framing.setBodiless(false);
    this.#writeHead(head);
  }

  /** Writes a 101. `halfClose`: each direction ends by itself; announced only to peers that support it, such as nodes. */
  switch(head: ResponseHead, halfClose: boolean): void {
    this.#framing.setBodiless(halfClose && this.#requestsHalfClose);
    this.#writeHead(head);
  }

  /** Writes the final head. `mayKeepAlive`: whether the connection may stay open. */
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

  /** Writes a whole response of the node itself. `mayKeepAlive` as above. Returns the number of bytes of its body. */
  reply({ endpointId, fields, message, reason, status }: LocalReply, mayKeepAlive: boolean): number {
    this.#framing.keepAlive = mayKeepAlive && this.#wantsKeepAlive;
    const close = !this.#framing.keepAlive;
    const dateLine = this.#dateLine.get();
    const headOnly = this.#method === "HEAD";
    // Nodes need the HTTP status, by which they decide whether to retry elsewhere.
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

  /** Writes the response to an invalid request, the last one of its connection. `extra`: whole field lines. */
  refuse({ status, message, reason }: HttpError, extra: string): void {
    const dateLine = this.#dateLine.get();
    this.#out.writeLatin1(
      errorResponse({ status, message, reason, dateLine, close: true, headOnly: false, extra }),
    );
  }

  #writeHead(head: ResponseHead): void {
    const { rewrite } = this.#framing;
    rewrite.dateLine = head.hasDate ? undefined : this.#dateLine.get();
    // Reserves room for a body of moderate length too, so that both are written to the same slab.
    const room = head.contentLength > 0 && head.contentLength <= MAX_ROOM_BYTES ? head.contentLength : 0;
    const at = this.#out.reserve(responseHeadCapacity(head, rewrite) + room);
    this.#out.advance(writeResponseHead(head, this.#out.slab as Buffer, at, rewrite));
  }
}
