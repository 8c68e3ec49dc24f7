// Which tunnels listen on which endpoint, and the choice among them.

import type { ReconnectWaits } from "./reconnect-waits.js";
import type { Tunnel } from "./tunnel.js";

/** The tunnels of one endpoint. */
class EndpointTunnels {
  readonly active: Tunnel[] = [];
  readonly draining: Tunnel[] = [];
  #next = 0;

  /**
   * Round robin over the active ones that take a stream, but not `except`. A draining one takes none: its agent has said
   * so.
   */
  select(except: unknown): Tunnel | undefined {
    const { active } = this;
    for (let tries = active.length; tries > 0; tries--) {
      if (this.#next >= active.length) this.#next = 0;
      const tunnel = active[this.#next++];
      if (tunnel?.accepting && tunnel !== except) return tunnel;
    }
    return undefined;
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
  /** Requests whose endpoint has just lost its upstreams. */
  readonly waits: ReconnectWaits;
  /** Told how many listeners that take requests an endpoint has, whenever that changes. */
  onListeners: (endpointId: string, count: number) => void = () => {};
  readonly #endpoints = new Map<string, EndpointTunnels>();
  readonly #tunnels = new Set<Tunnel>();

  constructor(waits: ReconnectWaits) {
    this.waits = waits;
  }

  add(tunnel: Tunnel): void {
    let endpoint = this.#endpoints.get(tunnel.endpointId);
    if (endpoint === undefined) {
      endpoint = new EndpointTunnels();
      this.#endpoints.set(tunnel.endpointId, endpoint);
    }
    endpoint.active.push(tunnel);
    this.#tunnels.add(tunnel);
    this.#changed(tunnel.endpointId, endpoint);
  }

  /** The tunnel takes no new requests while another one is there. */
  drain(tunnel: Tunnel): void {
    const endpoint = this.#endpoints.get(tunnel.endpointId);
    if (!endpoint?.withdraw(tunnel)) return;
    endpoint.draining.push(tunnel);
    this.#changed(tunnel.endpointId, endpoint);
  }

  /** The tunnel is gone. Idempotent. */
  remove(tunnel: Tunnel): void {
    if (!this.#tunnels.delete(tunnel)) return;
    const endpoint = this.#endpoints.get(tunnel.endpointId);
    if (endpoint === undefined) return;
    if (!endpoint.withdraw(tunnel)) endpoint.draining.splice(endpoint.draining.indexOf(tunnel), 1);
    else this.#changed(tunnel.endpointId, endpoint);
    if (endpoint.active.length + endpoint.draining.length === 0) this.#endpoints.delete(tunnel.endpointId);
  }

  #changed(endpointId: string, { active }: EndpointTunnels): void {
    this.onListeners(endpointId, active.length);
    if (active.length === 0) this.waits.onLost(endpointId);
    else this.waits.onFound(endpointId);
  }

  /** The tunnel whose turn it is, or undefined when nothing (but `except`) listens on the endpoint here. */
  select(endpointId: string, except?: unknown): Tunnel | undefined {
    return this.#endpoints.get(endpointId)?.select(except);
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
