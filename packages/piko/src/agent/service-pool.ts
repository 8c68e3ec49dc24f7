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

/** Maximum number of field lines in a response head; nodes allow fewer. */
const MAX_FIELDS = 512;
/**
 * A request that can't be retried uses a kept-alive connection only if that was used this recently. All known services keep
 * idle connections longer, so that a connection's end and the request can't cross on the way.
 */
const FRESH_MS = 1_000;

/** Limits of a pool, and how it connects. */
export interface ServicePoolOptions {
  readonly connector: ServiceConnector;
  /** Maximum number of idle connections that are kept; Infinity for no limit. */
  readonly maxIdle: number;
  /** How long an idle connection is kept; 0 for no limit. */
  readonly idleTimeoutMs: number;
  /** Maximum size of a response head. */
  readonly maxResponseHeadBytes: number;
  /** Budget for heads that arrive in parts, shared by all services of the agent. */
  readonly budget: ByteBudget;
  readonly clock: Clock;
  /** Milliseconds since 1970. Unlike `clock`, this includes times in which the process was suspended, which services count too. */
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

  /** `sweep`: given if another pool of the listener shares it. */
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

  /** Number of idle connections. */
  get idleCount(): number {
    return this.#idle.length;
  }

  isReady(): boolean {
    return true;
  }

  stopWaiting(): void {}

  /** A connection for one request: an idle one, or one that is opening. `repeatable`: the request may be retried. */
  take(events: UpstreamEvents, repeatable: boolean): ServiceConnection {
    const idle = this.#idle.pop();
    if (idle === undefined) return this.retake(events);
    if (!repeatable && !this.#isFresh(idle)) {
      // Replaces the idle connection by a new one, so that requests at long intervals don't fill the pool.
      idle.destroy();
      return this.retake(events);
    }
    idle.assign(events);
    return idle;
  }

  /** A connection that is opening. */
  retake(events: UpstreamEvents): ServiceConnection {
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

  /** Closes idle connections immediately, and the others after their requests. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  /** Also false if the wall clock was set back. */
  #isFresh(connection: ServiceConnection): boolean {
    const idleMs = this.wallNow() - connection.sentAtMs;
    return idleMs >= 0 && idleMs < FRESH_MS;
  }
}
