// The steps of a request before it gets an upstream: a node has several, an agent lets everything pass.

import type { RequestHead } from "../head.js";

/** Decides about a request: `reply`, `refuse` or `dispatch` of its exchange follows, immediately or later. */
export interface Lifecycle {
  begin(head: RequestHead): void;
  /** The request has ended: results that are still awaited for it are no longer wanted. */
  abandon(): void;
}
