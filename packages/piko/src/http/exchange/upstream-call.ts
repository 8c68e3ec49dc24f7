// The door between an exchange and what answers its request: a stream of an agent's tunnel, a connection to another node,
// a connection of an agent to its service.

import type { RequestHead, ResponseHead } from "../head.js";
import type { Expiring } from "../../net/deadline-sweep.js";
import type { RequestRewrite } from "../request-rewrite.js";
import type { Reason } from "../reasons.js";
import type { Trailers } from "./client-side.js";

/** Whether an upstream may have acted on a request that was lost. */
export type Seen =
  /** It never had it: any request may go elsewhere. */
  | "no"
  /** It had ended a kept connection before it answered: one that may be repeated may go there again. */
  | "stale"
  /** It may have it: one that may be repeated may go elsewhere. */
  | "maybe"
  /** It has begun to answer. */
  | "answered";

/** One request on its way to an upstream. After `abort`, `release` or the last event nothing follows. */
export interface UpstreamCall {
  /** It takes bytes more slowly than they come: bring no more until `onUpstreamWritable`. */
  readonly congested: boolean;
  /** There is no connection yet. */
  readonly connecting: boolean;
  /** A raw direction that the upstream has ended leaves the other one open. */
  readonly halfClose: boolean;
  /** Sends the head that this hop needs; `last`: no body follows. */
  send(head: RequestHead, rewrite: RequestRewrite, last: boolean): void;
  /** Body bytes, or raw ones. Takes all of them, bounded by the caller's obeying `congested`. */
  write(buffer: Buffer, start: number, end: number): void;
  /** The request is whole; a raw direction is over, after everything written. */
  end(trailers: Trailers | undefined): void;
  /** So many bytes of `onResponseBody`, and of heads of `onInform`, are out of the way: there is room for as many more. */
  consume(count: number): void;
  /** Nobody waits for the answer any more. */
  abort(why: Reason): void;
  /** The exchange is over in order, request and response whole; the codec knows what can be used again. */
  release(): void;
}

/**
 * The events that an exchange receives from its upstream; `sweep` from a call whose deadlines are checked. Heads and bytes
 * are valid during the call.
 */
export interface UpstreamEvents extends Expiring {
  /** An interim response (1xx). Its bytes wait for `consume`, as a body's do. */
  onInform(head: ResponseHead): void;
  /** A 101. True: raw bytes follow as body bytes, and their end as the response's. */
  onSwitch(head: ResponseHead): boolean;
  /** The head of the response; `last`: it is whole with that, and no other event follows. */
  onResponse(head: ResponseHead, last: boolean): void;
  onResponseBody(buffer: Buffer, start: number, end: number): void;
  /** The response is whole, or the upstream sends no more raw bytes. */
  onResponseEnd(trailers: Trailers | undefined): void;
  /** Everything that came in one read has been reported. */
  onUpstreamTurn(): void;
  /** There is room again after `congested`. */
  onUpstreamWritable(): void;
  /** There will be no (further) answer. `detail`: in words, for the log. */
  onLost(why: Reason, seen: Seen, detail: string): void;
}
