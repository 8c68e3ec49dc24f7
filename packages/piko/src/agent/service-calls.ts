// Provides the calls for a listener's exchanges: connections to its service, whatever HTTP version it speaks.

import type { UpstreamCall, UpstreamEvents } from "../http/exchange/upstream-call.js";
import type { Reason } from "../http/reasons.js";
import type { ByteBudget } from "../net/byte-budget.js";
import type { DeadlineSweep } from "../net/deadline-sweep.js";

/** A request that can't be sent before the service's HTTP version is known. */
export interface CallWaiter {
  /** A call can be taken now. */
  onService(): void;
  /** It isn't possible to connect to the service. `detail`: why, in words. */
  onNoService(why: Reason, detail: string): void;
}

/** The connections of one listener. */
export interface ServiceCalls {
  readonly sweep: DeadlineSweep;
  /** Budget for queued bytes, shared by all listeners of the agent. */
  readonly budget: ByteBudget;
  /** Whether a call can be taken now. If not, the waiter is notified later, unless it stops waiting. */
  isReady(waiter: CallWaiter): boolean;
  stopWaiting(waiter: CallWaiter): void;
  /**
   * A call for one request; its connection may still be opening. `repeatable`: the request may be retried. `upgrade`: it asks
   * for another protocol.
   */
  take(events: UpstreamEvents, repeatable: boolean, upgrade: boolean): UpstreamCall;
  /** A call for a request whose previous call was lost. */
  retake(events: UpstreamEvents, upgrade: boolean): UpstreamCall;
  /** Closes idle connections immediately, and the others after their requests. Idempotent. */
  close(): void;
}
