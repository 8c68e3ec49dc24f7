// Keep-alive connections to one HTTP service. The most recently used one is used first, so that surplus ones become idle
// and are closed.

import type { Clock } from "@piko/tunnel";
import type { ByteBudget } from "../net/byte-budget.js";
import { deadlineAfter, DeadlineSweep } from "../net/deadline-sweep.js";
import type { ServiceConnector } from "./connect-service.js";
import type { UpstreamEvents } from "../http/exchange/upstream-call.js";
import type { ResponseReaderLimits } from "../http/h1/response-reader.js";
import { ResponseHead } from "../http/head.js";
import type { ServiceCalls } from "./service-calls.js";
import { ServiceConnection, type ServiceConnectionOwner } from "./service-connection.js";

/** Maximum number of field lines of one response head; nodes let fewer through. */
const MAX_FIELDS = 512;
/**
 * A request that can't be repeated takes a kept connection only if that was in use so lately: less than any service is
 * known to keep an idle one, so that its end and the request can't meet on the way.
 */
const FRESH_MS = 1_000;

/** Limits of a pool, and how it connects. */
export interface ServicePoolOptions {
  readonly connector: ServiceConnector;
  /** Idle connections that are kept; Infinity for no limit. */
  readonly maxIdle: number;
  /** How long an idle connection is kept; 0 for no limit. */
  readonly idleTimeoutMs: number;
  /** Maximum size of a response head. */
  readonly maxResponseHeadBytes: number;
  /** Memory of heads that come in parts, of all the agent's services. */
  readonly budget: ByteBudget;
  readonly clock: Clock;
  /** Milliseconds since 1970: services count the time in which this process stands still, `clock` doesn't. */
  readonly wallNow: () => number;
}

export class ServicePool implements ServiceCalls, ServiceConnectionOwner {
  readonly clock: Clock;
  readonly wallNow: () => number;
  readonly sweep: DeadlineSweep;
  readonly responses: ResponseReaderLimits;
  readonly #connector: ServiceConnector;
  readonly #maxIdle: number;
  readonly #idleTimeoutMs: number;
  readonly #idle: ServiceConnection[] = [];
  #closed = false;

  /** `sweep`: where another pool of the listener shares it. */
  constructor(options: ServicePoolOptions, sweep: DeadlineSweep = new DeadlineSweep(options.clock)) {
    const { connector, maxIdle, idleTimeoutMs, clock } = options;
    this.clock = clock;
    this.wallNow = options.wallNow;
    this.responses = {
      head: new ResponseHead(MAX_FIELDS),
      maxHeadBytes: options.maxResponseHeadBytes,
      budget: options.budget,
    };
    this.sweep = sweep;
    this.#connector = connector;
    this.#maxIdle = maxIdle;
    this.#idleTimeoutMs = idleTimeoutMs;
  }

  get budget(): ByteBudget {
    return this.responses.budget;
  }

  /** Connections that wait for a request. */
  get idleCount(): number {
    return this.#idle.length;
  }

  isReady(): boolean {
    return true;
  }

  stopWaiting(): void {}

  /** A connection for one request: an idle one, or one that is being opened. `repeatable`: it may be sent again. */
  take(events: UpstreamEvents, repeatable: boolean): ServiceConnection {
    const idle = this.#idle.pop();
    if (idle === undefined) return this.takeAgain(events);
    if (!repeatable && !this.#isFresh(idle)) {
      // The new one takes its place, so that requests at long intervals don't fill the pool.
      idle.destroy();
      return this.takeAgain(events);
    }
    idle.assign(events);
    return idle;
  }

  /** A connection that is being opened. */
  takeAgain(events: UpstreamEvents): ServiceConnection {
    const connection = new ServiceConnection(this, this.#connector);
    connection.assign(events);
    this.sweep.add(connection);
    return connection;
  }

  keep(connection: ServiceConnection): number {
    if (this.#closed || this.#idle.length >= this.#maxIdle) return -1;
    this.#idle.push(connection);
    return deadlineAfter(this.clock.now(), this.#idleTimeoutMs);
  }

  forget(connection: ServiceConnection): void {
    const at = this.#idle.lastIndexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  /** Closes idle connections, and from now on others when their request is over. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  /** False, too, when the clock on the wall was turned back. */
  #isFresh(connection: ServiceConnection): boolean {
    const idleMs = this.wallNow() - connection.sentAtMs;
    return idleMs >= 0 && idleMs < FRESH_MS;
  }
}
