// Connections to a service that chooses its HTTP version by ALPN. The first connection finds out; requests wait for it,
// and then use connections of that version. Upgrades use HTTP/1.1.

import { type ByteSocket, type Clock, faults, type SocketHandler } from "@piko/tunnel";
import type { UpstreamCall, UpstreamEvents } from "../http/exchange/upstream-call.js";
import type { ByteBudget } from "../net/byte-budget.js";
import { DeadlineSweep } from "../net/deadline-sweep.js";
import {
  chosenProtocol,
  connectFailure,
  connectionFailure,
  type ServiceConnector,
} from "./connect-service.js";
import { type H2PoolOptions, H2ServicePool } from "./h2-pool.js";
import type { CallWaiter, ServiceCalls } from "./service-calls.js";
import { ServicePool, type ServicePoolOptions } from "./service-pool.js";

/** How long the choice of HTTP/1.1 is remembered. */
const REPEAT_PROBE_MS = 60_000;

/** How to create both kinds of connections, and those that offer both. */
export interface NegotiatedPoolOptions {
  readonly h1: ServicePoolOptions;
  readonly h2: H2PoolOptions;
  /** Offers both versions by ALPN. */
  readonly connector: ServiceConnector;
  readonly clock: Clock;
}

export class NegotiatedPool implements ServiceCalls, SocketHandler {
  readonly sweep: DeadlineSweep;
  readonly budget: ByteBudget;
  readonly #clock: Clock;
  readonly #connector: ServiceConnector;
  readonly #timeoutMs: number;
  readonly #h1: ServicePool;
  readonly #h2: H2ServicePool;
  readonly #waiters: Set<CallWaiter>;
  /** The version that the service has chosen, and until when this is valid. */
  #chosen: ServiceCalls | undefined;
  #chosenUntilMs: number;
  /** The connection that is finding out the version. */
  #probe: ByteSocket | undefined;

  constructor({ clock, connector, h1, h2 }: NegotiatedPoolOptions) {
    this.sweep = new DeadlineSweep(clock);
    this.budget = h2.budget;
    this.#clock = clock;
    this.#connector = connector;
    this.#timeoutMs = h2.timeoutMs;
    this.#h1 = new ServicePool(h1, this.sweep);
    this.#h2 = new H2ServicePool({ ...h2, onUnready: () => this.#forget() }, this.sweep);
    this.#waiters = new Set();
    this.#chosen = undefined;
    this.#chosenUntilMs = 0;
    this.#probe = undefined;
  }

  isReady(waiter: CallWaiter): boolean {
    if (this.#chosen !== undefined && this.#clock.now() < this.#chosenUntilMs) return true;
    this.#waiters.add(waiter);
    if (this.#probe === undefined) this.#startProbe();
    return false;
  }

  stopWaiting(waiter: CallWaiter): void {
    this.#waiters.delete(waiter);
  }

  take(events: UpstreamEvents, repeatable: boolean, upgrade: boolean): UpstreamCall {
    return this.#callsFor(upgrade).take(events, repeatable, upgrade);
  }

  retake(events: UpstreamEvents, upgrade: boolean): UpstreamCall {
    return this.#callsFor(upgrade).retake(events, upgrade);
  }

  close(): void {
    this.#probe?.destroy();
    this.#h1.close();
    this.#h2.close();
  }

  // Events of the connection that finds out the version, until this is known.

  onBytes(): void {}

  onEnd(): void {
    this.#probe?.destroy();
  }

  onDrain(): void {}

  onClose(error: Error | undefined): void {
    this.#notifyWaiters((waiter) => waiter.onNoService(connectFailure(error), connectionFailure(error)));
  }

  #startProbe(): void {
    const onOpen = (): void => {
      const socket = this.#probe;
      if (socket === undefined) return;
      const isH2 = chosenProtocol(socket) === "h2";
      this.#chosen = isH2 ? this.#h2 : this.#h1;
      this.#chosenUntilMs = isH2 ? Number.POSITIVE_INFINITY : this.#clock.now() + REPEAT_PROBE_MS;
      if (isH2) this.#h2.adopt(socket);
      else {
        socket.handler = IGNORE;
        socket.destroy();
      }
      this.#notifyWaiters((waiter) => waiter.onService());
    };
    const options = { clock: this.#clock, onOpen, timeoutMs: this.#timeoutMs };
    this.#probe = this.#connector.open(this, options);
  }

  /** HTTP/2 has no upgrades. As in browsers, they use HTTP/1.1, on a connection that only offers that. */
  #callsFor(upgrade: boolean): ServiceCalls {
    return upgrade ? this.#h1 : (this.#chosen ?? this.#h1);
  }

  /** Notifies all waiters, even if there is an internal error in one of them. */
  #notifyWaiters(notify: (waiter: CallWaiter) => void): void {
    this.#probe = undefined;
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) {
      try {
        notify(waiter);
      } catch (error) {
        faults.report(error);
      }
    }
  }

  /** A connection failed: a different service may be running now. */
  #forget(): void {
    this.#chosen = undefined;
  }
}

const IGNORE: SocketHandler = { onBytes() {}, onEnd() {}, onDrain() {}, onClose() {} };
