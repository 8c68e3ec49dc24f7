// Moves tunnels away from a node that has more than its share, a few each second, until it is near the mean. Without this, a
// new node would get agents only when they happen to reconnect.

import type { Clock, Timer } from "@piko/tunnel";
import type { RebalanceConfig } from "../../config/server.js";
import type { Logger } from "../../observability/logger.js";
import type { Tunnel } from "./tunnel.js";
import type { TunnelDrains } from "./tunnel-drains.js";
import type { Upstreams } from "./upstreams.js";

const TICK_MS = 1_000;
/** How many ticks a node must be above the threshold: the listeners of nodes that just joined aren't all known yet. */
const SETTLED_TICKS = 5;
/** Minimum age of a tunnel that is shed. */
const MIN_AGE_MS = 30_000;

export interface RebalancerOptions {
  config: RebalanceConfig;
  upstreams: Upstreams;
  drains: TunnelDrains;
  /** The number of listeners of each other node that is reachable and not stopping. */
  others: () => number[];
  logger: Logger;
  clock: Clock;
  /** Numbers in [0, 1). */
  random: () => number;
}

export class Rebalancer {
  /** Number of tunnels that were shed. */
  shed = 0;
  readonly #options: RebalancerOptions;
  readonly #random: () => number;
  #timer: Timer | undefined;
  #ticksAbove = 0;
  #shedding = false;

  constructor(options: RebalancerOptions) {
    this.#options = options;
    this.#random = options.random;
  }

  /** Checks every second from now on, unless it is turned off. */
  start(): void {
    if (this.#options.config.threshold === 0) return;
    this.#timer = this.#options.clock.setTimeout(() => this.#tick(), TICK_MS);
  }

  stop(): void {
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #tick(): void {
    const { clock, config, others, upstreams } = this.#options;
    this.#timer = clock.setTimeout(() => this.#tick(), TICK_MS);
    const own = upstreams.activeCount;
    const counts = others();
    const mean = (own + counts.reduce((sum, count) => sum + count, 0)) / (counts.length + 1);
    // Once shedding has begun, it continues to half the threshold, so that a node at the limit doesn't start repeatedly.
    const limit = mean * (1 + (this.#shedding ? config.threshold / 2 : config.threshold));
    const above = counts.length > 0 && own >= config.minConns && own > limit;
    this.#ticksAbove = above ? this.#ticksAbove + 1 : 0;
    this.#setShedding(this.#ticksAbove >= SETTLED_TICKS || (this.#shedding && above), own, mean);
    if (this.#shedding)
      this.#shedTunnels(Math.min(Math.max(1, Math.floor(own * config.shedRate)), own - mean));
  }

  #setShedding(shedding: boolean, own: number, mean: number): void {
    if (shedding === this.#shedding) return;
    this.#shedding = shedding;
    const message = shedding ? "more tunnels than the other nodes, shedding some" : "shed enough tunnels";
    this.#options.logger.info(message, { tunnels: own, mean: Math.round(mean * 10) / 10 });
  }

  /** Sheds at most `max` tunnels; the caller keeps the node from getting below the mean. */
  #shedTunnels(max: number): void {
    const { clock, drains, upstreams } = this.#options;
    const now = clock.now();
    const movable: Tunnel[] = [];
    for (const tunnel of upstreams.tunnels()) {
      // An agent that can't be asked to move is cut off, so only while it is idle.
      const quiet = tunnel.drainable || tunnel.streamCount === 0;
      if (tunnel.state === "active" && quiet && now - tunnel.sinceMs >= MIN_AGE_MS) movable.push(tunnel);
    }
    const chosen: Tunnel[] = [];
    while (chosen.length + 1 <= max && movable.length > 0) {
      const at = Math.floor(this.#random() * movable.length);
      chosen.push(movable[at] as Tunnel);
      movable[at] = movable.at(-1) as Tunnel;
      movable.pop();
    }
    if (chosen.length === 0) return;
    this.shed += chosen.length;
    drains.begin(chosen, TICK_MS, Number.POSITIVE_INFINITY, true);
  }
}
