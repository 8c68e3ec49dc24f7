// How an exchange gets an upstream: a node chooses among tunnels and nodes and may wait for one to reconnect, an agent
// has its one service.

import type { RequestHead } from "../head.js";
import type { Seen } from "./upstream-call.js";

/** One per exchange, for one request after another. */
export interface Dispatch {
  /** The request waits for an upstream to return. */
  readonly waiting: boolean;
  /** Finds an upstream: the exchange's `start`, `reply` or nothing (it waits) follows before this returns. */
  connect(head: RequestHead | undefined): void;
  /** The call was lost before its response. Returns whether the request continues: on another call, or waiting. */
  again(seen: Seen): boolean;
  /** The time for the response is over. Returns whether the request continues all the same, on another call. */
  outlast(nowMs: number): boolean;
  /** Looks at its own time limits, and at an upstream that has gone silent; `nowMs` is on the clock's scale. */
  sweep(nowMs: number): void;
  /** The request is over. */
  clear(): void;
}

/** RFC 9110 section 9.2.2: acting twice on such a request does no harm. */
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
