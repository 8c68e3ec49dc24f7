// Provides the calls for a listener's exchanges: connections to its service, whatever its HTTP version.

import type { UpstreamCall, UpstreamEvents } from "../http/exchange/upstream-call.js";
import type { Reason } from "../http/reasons.js";
import type { ByteBudget } from "../net/byte-budget.js";
import type { DeadlineSweep } from "../net/deadline-sweep.js";

/** A request that can't be sent before it is known what the service speaks. */
export interface CallWaiter {
  /** A call can be taken now. */
  onService(): void;
  /** The service can't be connected to. `detail`: why, in words. */
  onNoService(why: Reason, detail: string): void;
}

/** The connections of one listener. */
export interface ServiceCalls {
  readonly sweep: DeadlineSweep;
  /** Memory of what waits, of all the agent's listeners. */
  readonly budget: ByteBudget;
  /** Whether a call can be taken at once. If not, the waiter is notified, unless it stops waiting. */
  isReady(waiter: CallWaiter): boolean;
  stopWaiting(waiter: CallWaiter): void;
  /**
   * A call for one request; its connection may still be being opened. `repeatable`: it may be sent again. `upgrade`: it asks for
   * another protocol.
   */
  take(events: UpstreamEvents, repeatable: boolean, upgrade: boolean): UpstreamCall;
  /** A call for a request whose last one was lost. */
  takeAgain(events: UpstreamEvents, upgrade: boolean): UpstreamCall;
  /** Closes idle connections, and from now on others when their requests are over. Idempotent. */
  close(): void;
}
