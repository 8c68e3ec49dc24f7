// Moves tunnels away from this node without losing their requests, when the node stops or sheds load: one tunnel after the
// other. Agents that support `drain` are asked to move. Others are disconnected while they are idle, in a way that makes them
// reconnect.

import type { Clock, Timer } from "@piko/tunnel";
import type { Tunnel } from "./tunnel.js";

/** Maximum time between the starts of two tunnels. */
const MAX_SPACING_MS = 250;
const TICK_MS = 50;
/** After this time, an agent that was asked to move but hasn't is cut off when idle: it may have found no better node. */
const MOVE_TIMEOUT_MS = 5_000;
/**
 * An agent that can't be asked to move and is never idle gets no requests for a moment (a hold), so that those in progress can
 * end while new ones wait. If those take longer, the hold ends and the node tries again later. A hold is well below
 * `proxy.reconnect_wait`, so that no request waits in vain.
 */
const HOLD_AFTER_MS = 500;
const HOLD_MS = 2_000;
const HOLD_PAUSE_MS = 8_000;

interface Departure {
  readonly tunnel: Tunnel;
  readonly turnMs: number;
  readonly deadlineMs: number;
  /** Whether the agent may keep the tunnel until it has found a better node, however long that takes. */
  readonly optional: boolean;
  /** When the current hold ends, or the next one begins. */
  holdChangeMs: number;
  held: boolean;
}

export class TunnelDrains {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #departures = new Map<Tunnel, Departure>();
  #timer: Timer | undefined;
  #waiting: (() => void)[] = [];

  /** `random` gives numbers in [0, 1). */
  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  /** The number of tunnels that must move but still accept requests, or whose move hasn't begun yet. */
  get pendingCount(): number {
    let count = 0;
    for (const { tunnel } of this.#departures.values()) if (isPending(tunnel)) count++;
    return count;
  }

  /**
   * Begins to move these tunnels, spread over `windowMs`: first those of agents that can be asked to move, each group in random
   * order. At `deadlineMs` on the clock, the remaining ones are cut off. `optional`: an agent that looks for another node isn't
   * cut off if it finds none. (A load balancer may always lead it to the node of its other tunnel; it would only keep that one.)
   */
  begin(tunnels: Iterable<Tunnel>, windowMs: number, deadlineMs: number, optional = false): void {
    const all = [...tunnels].map((tunnel) => ({ tunnel, at: this.#random() - (tunnel.drainable ? 1 : 0) }));
    all.sort((one, other) => one.at - other.at);
    const spacingMs = Math.min(MAX_SPACING_MS, windowMs / Math.max(1, all.length));
    const now = this.#clock.now();
    for (const [index, { tunnel }] of all.entries()) {
      const turnMs = now + index * spacingMs;
      const holdChangeMs = turnMs + HOLD_AFTER_MS;
      this.#departures.set(tunnel, { tunnel, turnMs, deadlineMs, optional, holdChangeMs, held: false });
    }
    this.#tick();
  }

  /** Resolves when no tunnel accepts requests any more; those in progress may continue. */
  moved(): Promise<void> {
    if (this.pendingCount === 0) return Promise.resolve();
    return new Promise((resolve) => void this.#waiting.push(resolve));
  }

  /** Forgets all tunnels. */
  close(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#departures.clear();
    this.#wake();
  }

  #tick(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    const now = this.#clock.now();
    for (const departure of this.#departures.values()) {
      if (now >= departure.turnMs) this.#step(departure, now);
      if (departure.tunnel.state === "gone") this.#departures.delete(departure.tunnel);
    }
    if (this.pendingCount === 0) this.#wake();
    if (this.#departures.size > 0) this.#timer = this.#clock.setTimeout(() => this.#tick(), TICK_MS);
  }

  #step(departure: Departure, now: number): void {
    const { tunnel, turnMs, deadlineMs, optional } = departure;
    tunnel.drain();
    const idle = tunnel.streamCount === 0;
    if (now >= deadlineMs) {
      tunnel.evict();
    } else if (tunnel.drainable) {
      // An agent that has moved closes its old tunnel by itself, when its requests have finished.
      if (optional && tunnel.instance !== "") return;
      if (idle && tunnel.usable && now >= turnMs + MOVE_TIMEOUT_MS) tunnel.evict();
    } else if (idle) {
      tunnel.evict();
    } else if (now >= departure.holdChangeMs) {
      departure.held = !departure.held;
      departure.holdChangeMs = now + (departure.held ? HOLD_MS : HOLD_PAUSE_MS);
      tunnel.hold(departure.held);
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

function isPending(tunnel: Tunnel): boolean {
  return tunnel.state === "active" || tunnel.usable || (tunnel.state === "draining" && !tunnel.drainable);
}
