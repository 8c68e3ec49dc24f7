// The interface between an exchange and what answers its request: a stream of an agent's tunnel, a connection to another
// node, or an agent's connection to its service.

import type { RequestHead, ResponseHead } from "../head.js";
import type { Expiring } from "../../net/deadline-sweep.js";
import type { RequestRewrite } from "../request-rewrite.js";
import type { Reason } from "../reasons.js";
import type { Trailers } from "./client-side.js";

/** Whether an upstream may have acted on a request that was lost. */
export type Seen =
  /** The upstream never got the request: any request can be sent elsewhere. */
  | "no"
  /** The upstream closed a kept-alive connection before it answered: a request that is safe to retry can go there again. */
  | "stale"
  /** The upstream may have got the request: one that is safe to retry can be sent elsewhere. */
  | "maybe"
  /** The upstream has begun to answer. */
  | "answered";

/** One request on its way to an upstream. After `abort`, `release` or the last event, nothing follows. */
export interface UpstreamCall {
  /** Bytes arrive faster than they can be sent: write no more until `onUpstreamWritable`. */
  readonly congested: boolean;
  /** There is no connection yet. */
  readonly connecting: boolean;
  /** When the upstream ends its raw direction, the other one stays open. */
  readonly halfClose: boolean;
  /** Sends the head as this hop needs it. `last`: no body follows. */
  send(head: RequestHead, rewrite: RequestRewrite, last: boolean): void;
  /** Sends body bytes, or raw ones. Accepts all of them; the caller limits them by obeying `congested`. */
  write(buffer: Buffer, start: number, end: number): void;
  /** The request is complete; or the raw direction to the upstream has ended, after everything written. */
  end(trailers: Trailers | undefined): void;
  /** `count` bytes of `onResponseBody`, and of heads of `onInform`, were passed on: there is room for as many more. */
  consume(count: number): void;
  /** The response is no longer needed. */
  abort(why: Reason): void;
  /** Request and response both ended normally and completely; the codec knows what can be reused. */
  release(): void;
}

/**
 * The events that an exchange receives from its upstream. `sweep` is called by a call whose deadlines are checked. Heads and
 * bytes are valid during the call.
 */
export interface UpstreamEvents extends Expiring {
  /** An interim response (1xx). Like a body, its bytes count as unconsumed until `consume`. */
  onInform(head: ResponseHead): void;
  /** A 101. If it returns true, raw bytes follow as body bytes, and their end as the response's. */
  onSwitch(head: ResponseHead): boolean;
  /** The head of the response. `last`: the response is complete, and no other event follows. */
  onResponse(head: ResponseHead, last: boolean): void;
  onResponseBody(buffer: Buffer, start: number, end: number): void;
  /** The response is complete, or the upstream sends no more raw bytes. */
  onResponseEnd(trailers: Trailers | undefined): void;
  /** Everything from one read has been reported. */
  onUpstreamTurn(): void;
  /** There is room again after `congested`. */
  onUpstreamWritable(): void;
  /** There will be no response, or no more of it. `detail`: in words, for the log. */
  onLost(why: Reason, seen: Seen, detail: string): void;
}
