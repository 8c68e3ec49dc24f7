// Requests for endpoints whose last upstream has just disconnected wait here for its return, so that a reconnecting agent
// causes a delay instead of errors.

import type { Clock } from "@piko/tunnel";

/** A request that waits for an upstream of its endpoint. */
export interface Waiter {
  /** An upstream has connected; the waiter is no longer registered. */
  onUpstream(): void;
}

/** The endpoint may return, but the maximum number of requests is already waiting. */
export const WAITS_FULL = -1;
/** Maximum endpoints that are remembered after they lost their last upstream. */
const MAX_REMEMBERED = 10_000;

export class ReconnectWaits {
  readonly #clock: Clock;
  readonly #waitMs: number;
  readonly #maxWaiters: number;
  /** When each endpoint lost its last upstream, oldest first. */
  readonly #goneAtMs = new Map<string, number>();
  readonly #waiters = new Map<string, Set<Waiter>>();
  #count = 0;

  /**
   * `waitMs`: how long a request may wait, and how long after a loss requests may begin to wait; 0 turns waiting off.
   * `maxWaiters`: maximum requests that wait at a time.
   */
  constructor(clock: Clock, waitMs: number, maxWaiters: number) {
    this.#clock = clock;
    this.#waitMs = waitMs;
    this.#maxWaiters = maxWaiters;
  }

  /** The number of waiting requests. */
  get count(): number {
    return this.#count;
  }

  /** The endpoint has lost its last upstream. */
  onLost(endpointId: string): void {
    if (this.#waitMs === 0) return;
    this.#goneAtMs.delete(endpointId);
    this.#goneAtMs.set(endpointId, this.#clock.now());
    for (const oldest of this.#goneAtMs.keys()) {
      if (this.#goneAtMs.size <= MAX_REMEMBERED) break;
      this.#goneAtMs.delete(oldest);
    }
  }

  /** The endpoint has an upstream again: requests that wait for it continue. */
  onFound(endpointId: string): void {
    this.#goneAtMs.delete(endpointId);
    const waiters = this.#waiters.get(endpointId);
    if (waiters === undefined) return;
    this.#waiters.delete(endpointId);
    this.#count -= waiters.size;
    for (const waiter of waiters) waiter.onUpstream();
  }

  /** Whether the endpoint lost its last upstream recently enough that requests wait for it. */
  remembers(endpointId: string): boolean {
    const goneAt = this.#goneAtMs.get(endpointId);
    return goneAt !== undefined && this.#clock.now() - goneAt <= this.#waitMs;
  }

  /**
   * Registers a waiter if the endpoint's upstream is likely to return. Returns its deadline, undefined if there is nothing to
   * wait for, or WAITS_FULL.
   */
  wait(endpointId: string, waiter: Waiter): number | undefined {
    const goneAt = this.#goneAtMs.get(endpointId);
    if (goneAt === undefined) return undefined;
    const now = this.#clock.now();
    if (now - goneAt > this.#waitMs) {
      this.#goneAtMs.delete(endpointId);
      return undefined;
    }
    if (this.#count >= this.#maxWaiters) return WAITS_FULL;
    let waiters = this.#waiters.get(endpointId);
    if (waiters === undefined) {
      waiters = new Set();
      this.#waiters.set(endpointId, waiters);
    }
    waiters.add(waiter);
    this.#count++;
    return now + this.#waitMs;
  }

  /** Removes a waiter. */
  cancel(endpointId: string, waiter: Waiter): void {
    const waiters = this.#waiters.get(endpointId);
    if (waiters === undefined || !waiters.delete(waiter)) return;
    this.#count--;
    if (waiters.size === 0) this.#waiters.delete(endpointId);
  }
}
