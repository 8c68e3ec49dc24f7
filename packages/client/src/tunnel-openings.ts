// The attempts of an upstream to open a tunnel. A server uses a tunnel from its 101 on, before the listener has read that. So
// when the listener is closed, an attempt whose request was sent isn't cut, because requests could be lost with it. Instead its
// response is awaited for a while, and a tunnel that the server has opened is drained.

import type { Clock, Timer } from "@piko/tunnel";
import { type OpenedWebSocket, openWebSocket, type OpenWebSocketOptions } from "./open-websocket.js";
import { allowManyListeners } from "./shared-signal.js";
import type { UpstreamTunnel } from "./upstream-tunnel.js";

/** How long a listener that is closed awaits the response to an attempt, unless its grace period ends before. */
export const LAST_ANSWER_MS = 5_000;

/** The options that differ between attempts. */
type AttemptOptions = Omit<OpenWebSocketOptions, "signal" | "cut" | "clock">;

export interface TunnelOpeningsOptions {
  /** Aborted when no tunnel is wanted any more. */
  readonly stopped: AbortSignal;
  readonly clock: Clock;
  readonly create: (opened: OpenedWebSocket) => UpstreamTunnel;
  /** Called when an attempt has ended, or a late tunnel is closed. */
  readonly onOver: () => void;
}

export class TunnelOpenings {
  readonly #options: TunnelOpeningsOptions;
  readonly #cut = new AbortController();
  #cutTimer: Timer | undefined;
  #deadlineMs = Number.POSITIVE_INFINITY;
  #inProgress = 0;
  /** Tunnels that the server opened when they were no longer wanted. */
  readonly #late = new Set<UpstreamTunnel>();

  constructor(options: TunnelOpeningsOptions) {
    this.#options = options;
    allowManyListeners(options.stopped);
  }

  /** Whether no attempt is in progress and no late tunnel is open. */
  get over(): boolean {
    return this.#inProgress === 0 && this.#late.size === 0;
  }

  /** Opens a tunnel. Rejects as `openWebSocket` does, or with the reason of `stopped` as soon as that is aborted. */
  async open(options: AttemptOptions): Promise<UpstreamTunnel> {
    const { stopped } = this.#options;
    let onStop: () => void = () => {};
    const stop = new Promise<never>((_, reject) => {
      onStop = () => reject(stopped.reason as Error);
    });
    stopped.addEventListener("abort", onStop, { once: true });
    try {
      return await Promise.race([this.#attempt(options), stop]);
    } finally {
      stopped.removeEventListener("abort", onStop);
    }
  }

  /** To be called after `stopped`: ends all attempts and late tunnels by `deadlineMs` on the clock. */
  closeBy(deadlineMs: number): void {
    this.#deadlineMs = deadlineMs;
    for (const tunnel of this.#late) tunnel.drain(deadlineMs);
    this.#clearTimer();
    if (this.#inProgress === 0) return;
    const { clock, stopped } = this.#options;
    const leftMs = Math.min(deadlineMs - clock.now(), LAST_ANSWER_MS);
    const cut = (): void => this.#cut.abort(stopped.reason);
    if (leftMs <= 0) cut();
    else this.#cutTimer = clock.setTimeout(cut, leftMs);
  }

  /** Drains a tunnel that was opened after `stopped`. */
  drainLate(tunnel: UpstreamTunnel): void {
    this.#late.add(tunnel);
    // Before `run`, so that streams that the server has already opened are refused and go elsewhere.
    tunnel.drain(this.#deadlineMs);
    tunnel.run();
  }

  /** To be called when a tunnel is closed; false if it isn't a late one. */
  forget(tunnel: UpstreamTunnel): boolean {
    if (!this.#late.delete(tunnel)) return false;
    this.#options.onOver();
    return true;
  }

  async #attempt(options: AttemptOptions): Promise<UpstreamTunnel> {
    const { clock, create, onOver, stopped } = this.#options;
    this.#inProgress++;
    try {
      const signals = { signal: stopped, cut: this.#cut.signal };
      const tunnel = create(await openWebSocket({ ...options, ...signals, clock }));
      if (stopped.aborted) this.drainLate(tunnel);
      return tunnel;
    } finally {
      this.#inProgress--;
      if (this.#inProgress === 0) this.#clearTimer();
      onOver();
    }
  }

  #clearTimer(): void {
    if (this.#cutTimer !== undefined) this.#options.clock.clearTimeout(this.#cutTimer);
    this.#cutTimer = undefined;
  }
}
