// The attempts of an upstream to open a tunnel. A server uses a tunnel from its 101 on, before the listener has read that. So an
// attempt whose request has left isn't cut when the listener is closed, which would take requests with it: its answer is awaited
// for a moment, and a tunnel that the server has opened runs dry.

import { setMaxListeners } from "node:events";
import type { Clock, Timer } from "@piko/tunnel";
import { type OpenedWebSocket, openWebSocket, type OpenWebSocketOptions } from "./open-websocket.js";
import type { UpstreamTunnel } from "./upstream-tunnel.js";

/** How long the answer to an attempt is awaited by a listener that is closed, if its grace isn't over before. */
export const LAST_ANSWER_MS = 5_000;

/** What differs from one attempt to the next. */
type AttemptOptions = Omit<OpenWebSocketOptions, "signal" | "cut" | "clock">;

export interface TunnelOpeningsOptions {
  /** No tunnel is wanted any more. */
  readonly stopped: AbortSignal;
  readonly clock: Clock;
  readonly create: (opened: OpenedWebSocket) => UpstreamTunnel;
  /** An attempt is over, or a late tunnel is closed. */
  readonly onOver: () => void;
}

export class TunnelOpenings {
  readonly #options: TunnelOpeningsOptions;
  readonly #cut = new AbortController();
  #cutTimer: Timer | undefined;
  #deadlineMs = Number.POSITIVE_INFINITY;
  #underWay = 0;
  /** Opened by the server when they were no longer wanted. */
  readonly #late = new Set<UpstreamTunnel>();

  constructor(options: TunnelOpeningsOptions) {
    this.#options = options;
    // Each attempt that is held listens to it for a moment: more than Node.js takes for a leak.
    setMaxListeners(0, options.stopped, this.#cut.signal);
  }

  /** No attempt is under way, and no late tunnel open. */
  get over(): boolean {
    return this.#underWay === 0 && this.#late.size === 0;
  }

  /** Opens a tunnel. Rejects as `openWebSocket` does, with the reason of `stopped` as soon as that comes. */
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

  /** After `stopped`: nothing of it is left at `deadlineMs` on the clock. */
  closeBy(deadlineMs: number): void {
    this.#deadlineMs = deadlineMs;
    for (const tunnel of this.#late) tunnel.runDry(deadlineMs);
    this.#clearTimer();
    if (this.#underWay === 0) return;
    const { clock, stopped } = this.#options;
    const leftMs = Math.min(deadlineMs - clock.now(), LAST_ANSWER_MS);
    const cut = (): void => this.#cut.abort(stopped.reason);
    if (leftMs <= 0) cut();
    else this.#cutTimer = clock.setTimeout(cut, leftMs);
  }

  /** Lets a tunnel run dry that was opened after `stopped`. */
  takeLate(tunnel: UpstreamTunnel): void {
    this.#late.add(tunnel);
    // Before it runs: what the server has sent into it is refused, and goes elsewhere.
    tunnel.runDry(this.#deadlineMs);
    tunnel.run();
  }

  /** A tunnel is closed; false if it isn't a late one. */
  forget(tunnel: UpstreamTunnel): boolean {
    if (!this.#late.delete(tunnel)) return false;
    this.#options.onOver();
    return true;
  }

  async #attempt(options: AttemptOptions): Promise<UpstreamTunnel> {
    const { clock, create, onOver, stopped } = this.#options;
    this.#underWay++;
    try {
      const signals = { signal: stopped, cut: this.#cut.signal };
      const tunnel = create(await openWebSocket({ ...options, ...signals, clock }));
      if (stopped.aborted) this.takeLate(tunnel);
      return tunnel;
    } finally {
      this.#underWay--;
      if (this.#underWay === 0) this.#clearTimer();
      onOver();
    }
  }

  #clearTimer(): void {
    if (this.#cutTimer !== undefined) this.#options.clock.clearTimeout(this.#cutTimer);
    this.#cutTimer = undefined;
  }
}
