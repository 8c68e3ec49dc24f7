// The interface between an exchange and the sender of its request: an HTTP/1.1 connection, an HTTP/2 stream, a stream of a
// tunnel, or a script in a test. Bodies cross it without framing; each codec adds its own.

import type { HttpError } from "../errors.js";
import type { RequestHead, ResponseHead } from "../head.js";
import type { Reason } from "../reasons.js";

/** Field lines after a body, each with its CRLF, checked and without those that aren't allowed in trailers. */
export type Trailers = Buffer;

/** A response of the proxy's own. */
export interface LocalReply {
  readonly status: number;
  /** Undefined for a response that isn't a failure. */
  readonly reason: Reason | undefined;
  /** The requested endpoint; empty if it isn't known. */
  readonly endpointId: string;
  /** The value of `error` in the body; undefined for a response without a body. */
  readonly message: string | undefined;
  /** Whole field lines, each with its CRLF. */
  readonly fields: string;
}

/** Where a request comes from and its response goes to. A call that ends the response is the last one for the request. */
export interface ClientSide {
  /** More is queued for the client than its connection accepts now: send no more until `onClientWritable`. */
  readonly congested: boolean;
  /** The client waits for the response without a timeout, and reports when it no longer waits. */
  readonly waitsIndefinitely: boolean;
  /** The sender of the request, as far as it is known, for the log. */
  senderOf(head: RequestHead): string | undefined;
  /** Sends an interim response (1xx); drops it if the client can't receive it. */
  inform(head: ResponseHead): void;
  /** Sends the head of the response. `last`: no body follows. */
  respond(head: ResponseHead, last: boolean): void;
  /** Sends a 101. Raw bytes follow in both directions. `halfClose`: see `UpstreamCall.halfClose`. */
  switchTo(head: ResponseHead, halfClose: boolean): void;
  /** Sends body bytes, or raw ones. Accepts all of them: the queue is limited by how much upstream may send unconsumed. */
  write(buffer: Buffer, start: number, end: number): void;
  /** Everything from one read has been written: the collected bytes can be sent. */
  flush(): void;
  /** The response is complete; or the raw direction to the client has ended, after everything written. */
  end(trailers: Trailers | undefined): void;
  /** Both raw directions have ended. */
  close(): void;
  /** Responds instead of an upstream; `end` follows. Returns the length of the response's body in bytes. */
  reply(reply: LocalReply): number;
  /** `count` bytes of the request have left the exchange: there is room for as many more. */
  consume(count: number): void;
  /** The response can't be completed. The client must see that it was cut. */
  abort(why: Reason): void;
}

/** The events that an exchange receives from its client's side. */
export interface ClientEvents {
  /** A request begins; the head is valid during the call. `last`: no body follows. */
  onRequest(head: RequestHead, last: boolean): void;
  /** Body bytes, or raw ones after a switch; valid during the call. They count as held until `consume`. */
  onRequestBody(buffer: Buffer, start: number, end: number): void;
  /** The request is complete; or a raw client sends no more. */
  onRequestEnd(trailers: Trailers | undefined): void;
  /** A raw client has closed both directions: what it has sent is still passed on, bytes for it are dropped. */
  onClientClosed(): void;
  /** The request can't continue: its body is malformed, too large, or stopped arriving. */
  onRequestRefused(error: HttpError): void;
  /** There is room again after `congested`. */
  onClientWritable(): void;
  /** The client is gone, or must be treated as gone. */
  onClientGone(why: Reason): void;
}
