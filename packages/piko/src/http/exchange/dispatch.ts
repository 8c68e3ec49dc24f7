// How an exchange gets an upstream: a node chooses among tunnels and nodes, and may wait for one to reconnect; an agent
// has one service.

import type { RequestHead } from "../head.js";
import type { Seen } from "./upstream-call.js";

/** One per exchange, for one request after another. */
export interface Dispatch {
  /** The request waits for an upstream to return. */
  readonly waiting: boolean;
  /** Finds an upstream. Calls the exchange's `start` or `reply` before it returns, or neither if the request has to wait. */
  connect(head: RequestHead | undefined): void;
  /** The call was lost before its response. Returns whether the request continues, on another call or by waiting. */
  retry(seen: Seen): boolean;
  /** The response timed out. Returns whether the request continues nevertheless, on another call. */
  continueAfterTimeout(nowMs: number): boolean;
  /** Checks its own timeouts, and for an upstream that has become silent; `nowMs` is on the clock's scale. */
  sweep(nowMs: number): void;
  /** The request has ended. */
  clear(): void;
}

/** Whether a request with this method can safely be processed twice (RFC 9110 section 9.2.2). */
export function isIdempotent(method: string): boolean {
  switch (method) {
    case "GET":
    case "HEAD":
    case "OPTIONS":
    case "PUT":
    case "DELETE":
    case "TRACE":
      return true;
    default:
      return false;
  }
}
