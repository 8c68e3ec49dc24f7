// Which tunnels listen on which endpoint, and the choice among them.

import type { Tunnel } from "./tunnel.js";

/** The tunnels of one endpoint. */
class EndpointTunnels {
  readonly active: Tunnel[] = [];
  readonly draining: Tunnel[] = [];
  #next = 0;

  /** Round robin over the active ones; a draining one only when there is no other. */
  select(): Tunnel | undefined {
    const { active } = this;
    if (active.length === 0) return this.draining[0];
    if (this.#next >= active.length) this.#next = 0;
    return active[this.#next++];
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

export class Upstreams {
  readonly #endpoints = new Map<string, EndpointTunnels>();
  readonly #tunnels = new Set<Tunnel>();

  add(tunnel: Tunnel): void {
    let endpoint = this.#endpoints.get(tunnel.endpointId);
    if (endpoint === undefined) {
      endpoint = new EndpointTunnels();
      this.#endpoints.set(tunnel.endpointId, endpoint);
    }
    endpoint.active.push(tunnel);
    this.#tunnels.add(tunnel);
  }

  /** The tunnel takes no new requests while another one is there. */
  drain(tunnel: Tunnel): void {
    const endpoint = this.#endpoints.get(tunnel.endpointId);
    if (endpoint?.withdraw(tunnel)) endpoint.draining.push(tunnel);
  }

  /** The tunnel is gone. Idempotent. */
  remove(tunnel: Tunnel): void {
    if (!this.#tunnels.delete(tunnel)) return;
    const endpoint = this.#endpoints.get(tunnel.endpointId);
    if (endpoint === undefined) return;
    if (!endpoint.withdraw(tunnel)) endpoint.draining.splice(endpoint.draining.indexOf(tunnel), 1);
    if (endpoint.active.length + endpoint.draining.length === 0) this.#endpoints.delete(tunnel.endpointId);
  }

  /** The tunnel whose turn it is, or undefined when nothing listens on the endpoint here. */
  select(endpointId: string): Tunnel | undefined {
    return this.#endpoints.get(endpointId)?.select();
  }

  /** All tunnels, in the order in which they came. */
  tunnels(): IterableIterator<Tunnel> {
    return this.#tunnels.values();
  }

  get tunnelCount(): number {
    return this.#tunnels.size;
  }

  get endpointCount(): number {
    return this.#endpoints.size;
  }

  /** Listeners by endpoint: those that take requests. */
  listenerCounts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const [endpointId, endpoint] of this.#endpoints) {
      if (endpoint.active.length > 0) counts[endpointId] = endpoint.active.length;
    }
    return counts;
  }
}
