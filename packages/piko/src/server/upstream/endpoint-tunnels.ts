// The tunnels of one endpoint, and the choice among them.

import type { Tunnel } from "./tunnel.js";

export class EndpointTunnels {
  readonly active: Tunnel[] = [];
  readonly draining: Tunnel[] = [];
  /** Requests, upgraded and TCP connections under way; counted by whoever begins and ends them. */
  requests = 0;
  /** Listeners as they were last told to others; see {@link listenerCount}. */
  told = 0;
  #next = 0;

  /** Round robin over the active ones that take a stream, but not `except`. */
  select(except: unknown): Tunnel | undefined {
    const { active } = this;
    for (let tries = active.length; tries > 0; tries--) {
      if (this.#next >= active.length) this.#next = 0;
      const tunnel = active[this.#next++];
      if (tunnel?.accepting && tunnel !== except) return tunnel;
    }
    return undefined;
  }

  /** A draining one that still takes a stream: for when there is nothing better, on this node or another. */
  selectDraining(except: unknown): Tunnel | undefined {
    return this.draining.find((tunnel) => tunnel.accepting && tunnel !== except);
  }

  /** For an endpoint that has just had no tunnel to give: whether it has any, besides `except`, that will take streams. */
  isFull(except: unknown): boolean {
    return (
      this.active.some((tunnel) => tunnel !== except) ||
      this.draining.some((tunnel) => tunnel.usable && tunnel !== except)
    );
  }

  /** Tunnels that requests are sent to. */
  get listenerCount(): number {
    if (this.active.length > 0) return this.active.length;
    let count = 0;
    for (const tunnel of this.draining) if (tunnel.usable) count++;
    return count;
  }

  get tunnelCount(): number {
    return this.active.length + this.draining.length;
  }

  /** Takes a tunnel out and keeps the order of turns for the others. */
  withdraw(tunnel: Tunnel): boolean {
    const at = this.active.indexOf(tunnel);
    if (at < 0) return false;
    this.active.splice(at, 1);
    if (at < this.#next) this.#next--;
    return true;
  }
}
