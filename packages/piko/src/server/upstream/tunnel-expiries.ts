// Ends tunnels whose token or agent's certificate has expired or become invalid. They get no more requests, those in progress
// have a grace period, and then the tunnel is closed. A draining tunnel, in contrast, still gets requests if there is nothing
// better.

import type { Clock, Timer } from "@piko/tunnel";
import type { Tunnel } from "./tunnel.js";

/** Maximum interval of checks: the time of day may be changed, and a process may be suspended. */
const CHECK_MS = 1_000;
/** Interval of checks whether expired tunnels have no streams any more. */
const TICK_MS = 50;

export interface TunnelExpiriesOptions {
  readonly clock: Clock;
  /** Milliseconds since 1970, as in the expiry of tokens. */
  readonly wallNow: () => number;
  /** Grace period for requests in progress on an expired tunnel. */
  readonly graceMs: number;
}

export class TunnelExpiries {
  readonly #options: TunnelExpiriesOptions;
  /** When the token of each tunnel expires, in milliseconds since 1970. */
  readonly #watched = new Map<Tunnel, number>();
  /** Expired tunnels in their grace period, with its end on the clock. */
  readonly #ending = new Map<Tunnel, number>();
  /** Tunnels that were ended and whose connections are still open. */
  readonly #ended = new Set<Tunnel>();
  #timer: Timer | undefined;
  /** When the timer fires, on the clock. */
  #dueMs = Number.POSITIVE_INFINITY;

  constructor(options: TunnelExpiriesOptions) {
    this.#options = options;
  }

  /** Ends the tunnel at `untilMs`, when its token expires; never if that is Infinity. */
  watch(tunnel: Tunnel, untilMs: number): void {
    if (untilMs === Number.POSITIVE_INFINITY) return;
    this.#watched.set(tunnel, untilMs);
    this.#arm(Math.min(CHECK_MS, untilMs - this.#options.wallNow()));
  }

  /** Whether the tunnel has expired and isn't gone yet. */
  knows(tunnel: Tunnel): boolean {
    return this.#ending.has(tunnel) || this.#ended.has(tunnel);
  }

  /** The tunnel's token or certificate is no longer valid, for `reason`: its grace period begins. */
  expire(tunnel: Tunnel, reason: string): void {
    this.#watched.delete(tunnel);
    if (!tunnel.expire(reason)) return;
    const { clock, graceMs } = this.#options;
    this.#ending.set(tunnel, clock.now() + graceMs);
    this.#arm(0);
  }

  /** The tunnel is gone: forgets it. */
  forget(tunnel: Tunnel): void {
    this.#watched.delete(tunnel);
    this.#ending.delete(tunnel);
    this.#ended.delete(tunnel);
    if (this.#watched.size + this.#ending.size === 0) this.#clear();
  }

  /** Ends the tunnels in their grace period, and stops watching. */
  close(): void {
    this.#watched.clear();
    this.#clear();
    for (const tunnel of [...this.#ending.keys()]) this.#end(tunnel);
  }

  /** Drops the connections of tunnels that have expired. */
  destroy(): void {
    this.close();
    for (const tunnel of [...this.#ended]) tunnel.destroy();
  }

  #end(tunnel: Tunnel): void {
    this.#ending.delete(tunnel);
    this.#ended.add(tunnel);
    tunnel.end();
  }

  #tick(): void {
    this.#clear();
    const { clock, wallNow } = this.#options;
    const wallMs = wallNow();
    let waitMs = CHECK_MS;
    for (const [tunnel, untilMs] of this.#watched) {
      if (wallMs >= untilMs) this.expire(tunnel, "expired");
      else waitMs = Math.min(waitMs, untilMs - wallMs);
    }
    const now = clock.now();
    for (const [tunnel, deadlineMs] of this.#ending) {
      if (tunnel.streamCount > 0 && now < deadlineMs) continue;
      this.#end(tunnel);
    }
    if (this.#ending.size > 0) this.#arm(Math.min(waitMs, TICK_MS));
    else if (this.#watched.size > 0) this.#arm(waitMs);
    else this.#clear();
  }

  /** Sets the timer to fire in `delayMs`, unless it already fires sooner. */
  #arm(delayMs: number): void {
    const { clock } = this.#options;
    const dueMs = clock.now() + Math.max(0, delayMs);
    if (dueMs >= this.#dueMs) return;
    this.#clear();
    this.#dueMs = dueMs;
    this.#timer = clock.setTimeout(() => this.#tick(), dueMs - clock.now());
  }

  #clear(): void {
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#dueMs = Number.POSITIVE_INFINITY;
  }
}
