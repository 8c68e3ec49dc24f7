// The door between an exchange and the sender of its request: one turn of an HTTP/1.1 connection, a stream of a tunnel, a
// script in a test. Bodies cross it without framing; each codec frames by itself.

import type { HttpError } from "../errors.js";
import type { RequestHead, ResponseHead } from "../head.js";
import type { Reason } from "../reasons.js";

/** Field lines after a body, each with its CRLF, checked and without those that may not come so late. */
export type Trailers = Buffer;

/** An answer of the proxy's own. */
export interface LocalReply {
  readonly status: number;
  /** Undefined for an answer that is no failure. */
  readonly reason: Reason | undefined;
  /** Which endpoint was asked for; empty where that isn't known. */
  readonly endpointId: string;
  /** What `error` in the body says; undefined for an answer without a body. */
  readonly message: string | undefined;
  /** Whole field lines, each with its CRLF. */
  readonly fields: string;
}

/** Where a request comes from and its answer goes to. Calls that end the answer are the last ones for the request. */
export interface ClientSide {
  /** More waits for the client than its connection takes now: bring no more until `onClientWritable`. */
  readonly congested: boolean;
  /** It waits for the response as long as that takes, and says itself when it doesn't any more. */
  readonly patient: boolean;
  /** The sender of the request, as far as it is known; for the log. */
  senderOf(head: RequestHead): string | undefined;
  /** An interim response (1xx); dropped where the client can't take it. */
  inform(head: ResponseHead): void;
  /** The head of the response; `last`: no body follows. */
  respond(head: ResponseHead, last: boolean): void;
  /** A 101: what follows are raw bytes, both ways. `halfClose`: as of the call that they come from. */
  switchTo(head: ResponseHead, halfClose: boolean): void;
  /** Body bytes, or raw ones. Takes all of them: what waits is bounded by what upstream may send unconsumed. */
  write(buffer: Buffer, start: number, end: number): void;
  /** All that came in one read was written: what was gathered can leave. */
  flush(): void;
  /** The response is whole; a raw direction is over, after everything written. */
  end(trailers: Trailers | undefined): void;
  /** Both raw directions are over. */
  close(): void;
  /** Answers instead of an upstream; `end` follows. Returns the bytes of the answer's body. */
  reply(reply: LocalReply): number;
  /** So many bytes of the request have left the exchange: there is room for as many more. */
  consume(count: number): void;
  /** The response can't be completed: what is cut looks cut. */
  abort(why: Reason): void;
}

/** The events that an exchange receives from its client's side. */
export interface ClientEvents {
  /** A request begins; the head is valid during the call. `last`: no body follows. */
  onRequest(head: RequestHead, last: boolean): void;
  /** Body bytes, or raw ones after a switch; valid during the call. They count as held until `consume`. */
  onRequestBody(buffer: Buffer, start: number, end: number): void;
  /** The request is whole; a raw client sends no more. */
  onRequestEnd(trailers: Trailers | undefined): void;
  /** A raw client has ended both directions: what it has sent goes on, what still comes for it has nowhere to go. */
  onClientClosed(): void;
  /** The request can't go on: its body is malformed, too large, or stopped coming. */
  onRequestRefused(error: HttpError): void;
  /** There is room again after `congested`. */
  onClientWritable(): void;
  /** The client is gone, or as good as gone. */
  onClientGone(why: Reason): void;
}
