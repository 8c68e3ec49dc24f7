// Ends tunnels whose token has expired or become invalid, or whose agent's certificate has: they get no more requests,
// those in progress have a grace period, then the tunnel is closed. Separate from draining, in which a tunnel still gets
// requests if there is nothing better.

import type { Clock, Timer } from "@piko/tunnel";
import type { Tunnel } from "./tunnel.js";

/** The time of day may be set anew, and a process may stand still: tokens are looked at this often at least. */
const LOOK_MS = 1_000;
/** How often tunnels that end are looked at: the last of their streams may be over. */
const TICK_MS = 50;

export interface TunnelExpiriesOptions {
  readonly clock: Clock;
  /** Milliseconds since 1970, in which tokens say when they end. */
  readonly wallNow: () => number;
  /** Time for what is in progress on a tunnel that ends. */
  readonly graceMs: number;
}

export class TunnelExpiries {
  readonly #options: TunnelExpiriesOptions;
  /** When the token of each tunnel ends, in milliseconds since 1970. */
  readonly #watched = new Map<Tunnel, number>();
  /** Tunnels that end, and until when on the clock at the latest. */
  readonly #ending = new Map<Tunnel, number>();
  /** Those that have been informed, and are still open. */
  readonly #ended = new Set<Tunnel>();
  #timer: Timer | undefined;
  /** When the timer fires, on the clock. */
  #dueMs = Number.POSITIVE_INFINITY;

  constructor(options: TunnelExpiriesOptions) {
    this.#options = options;
  }

  /** Ends the tunnel when its token ends; Infinity: never. */
  watch(tunnel: Tunnel, untilMs: number): void {
    if (untilMs === Number.POSITIVE_INFINITY) return;
    this.#watched.set(tunnel, untilMs);
    this.#arm(Math.min(LOOK_MS, untilMs - this.#options.wallNow()));
  }

  /** The tunnel has expired, and isn't gone yet. */
  knows(tunnel: Tunnel): boolean {
    return this.#ending.has(tunnel) || this.#ended.has(tunnel);
  }

  /** What let it in doesn't count any more, for this reason: it ends from now on. */
  expire(tunnel: Tunnel, reason: string): void {
    this.#watched.delete(tunnel);
    if (!tunnel.expire(reason)) return;
    const { clock, graceMs } = this.#options;
    this.#ending.set(tunnel, clock.now() + graceMs);
    this.#arm(0);
  }

  /** The tunnel is gone. */
  forget(tunnel: Tunnel): void {
    this.#watched.delete(tunnel);
    this.#ending.delete(tunnel);
    this.#ended.delete(tunnel);
    if (this.#watched.size + this.#ending.size === 0) this.#clear();
  }

  /** Ends the tunnels that have a grace, and watches no more. */
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
    let waitMs = LOOK_MS;
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

  /** Fires in `delayMs`, or sooner if that was so already. */
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
