// Which tunnels listen on which endpoint.

import { EndpointTunnels } from "./endpoint-tunnels.js";
import { Instances } from "./instances.js";
import type { ReconnectWaits } from "./reconnect-waits.js";
import type { Tunnel } from "./tunnel.js";

export class Upstreams {
  /** Requests whose endpoint has just lost its upstreams. */
  readonly waits: ReconnectWaits;
  /** How often a tunnel has become doubtful. */
  doubts = 0;
  readonly #onListeners: (endpointId: string, count: number, doubtful: boolean) => void;
  readonly #random: () => number;
  readonly #endpoints = new Map<string, EndpointTunnels>();
  readonly #tunnels = new Set<Tunnel>();
  readonly #instances = new Instances();

  /**
   * `onListeners`: told how many listeners that take requests an endpoint has, and whether all of them are doubtful, whenever
   * that changes. `random`: numbers in [0, 1).
   */
  constructor(
    waits: ReconnectWaits,
    onListeners: (endpointId: string, count: number, doubtful: boolean) => void,
    random: () => number,
  ) {
    this.waits = waits;
    this.#onListeners = onListeners;
    this.#random = random;
  }

  add(tunnel: Tunnel): void {
    let endpoint = this.#endpoints.get(tunnel.endpointId);
    if (endpoint === undefined) {
      endpoint = new EndpointTunnels(this.#random);
      this.#endpoints.set(tunnel.endpointId, endpoint);
    }
    endpoint.add(tunnel);
    this.#tunnels.add(tunnel);
    this.#instances.add(tunnel);
    this.#changed(tunnel.endpointId, endpoint);
  }

  /** The tunnel drains: it gets no requests while there is another. Again: it has begun or ceased to take requests. */
  drain(tunnel: Tunnel): void {
    const endpoint = this.#endpoints.get(tunnel.endpointId);
    if (endpoint === undefined) return;
    if (endpoint.withdraw(tunnel)) endpoint.draining.push(tunnel);
    this.#changed(tunnel.endpointId, endpoint);
  }

  /** The tunnel has become doubtful, or is it no more. */
  onDoubt(tunnel: Tunnel): void {
    if (tunnel.doubtful) this.doubts++;
    const endpoint = this.#endpoints.get(tunnel.endpointId);
    if (endpoint === undefined) return;
    endpoint.onDoubt(tunnel);
    this.#changed(tunnel.endpointId, endpoint);
  }

  /** The tunnel is gone. Idempotent. */
  remove(tunnel: Tunnel): void {
    if (!this.#tunnels.delete(tunnel)) return;
    this.#instances.remove(tunnel);
    const endpoint = this.#endpoints.get(tunnel.endpointId);
    if (endpoint === undefined) return;
    if (!endpoint.withdraw(tunnel)) endpoint.draining.splice(endpoint.draining.indexOf(tunnel), 1);
    this.#changed(tunnel.endpointId, endpoint);
    if (endpoint.active.length + endpoint.draining.length === 0) this.#endpoints.delete(tunnel.endpointId);
  }

  #changed(endpointId: string, endpoint: EndpointTunnels): void {
    const count = endpoint.listenerCount;
    const doubtful = count > 0 && endpoint.doubtful;
    if (count === endpoint.told && doubtful === endpoint.toldDoubtful) return;
    endpoint.told = count;
    endpoint.toldDoubtful = doubtful;
    this.#onListeners(endpointId, count, doubtful);
    if (count === 0) this.waits.onLost(endpointId);
    else this.waits.onFound(endpointId);
  }

  /** What listens on the endpoint here, if anything does. */
  find(endpointId: string): EndpointTunnels | undefined {
    return this.#endpoints.get(endpointId);
  }

  /** The tunnel of a listener that has named itself, if it has one here and its agent keeps it. */
  tunnelOf(listener: { endpointId: string; tenantId: string; instance: string }): Tunnel | undefined {
    return this.#instances.find(listener);
  }

  /** Tunnels that requests for the endpoint are sent to. */
  listenerCount(endpointId: string): number {
    return this.#endpoints.get(endpointId)?.told ?? 0;
  }

  /** All tunnels, in the order in which they came. */
  tunnels(): IterableIterator<Tunnel> {
    return this.#tunnels.values();
  }

  get tunnelCount(): number {
    return this.#tunnels.size;
  }

  /** Tunnels that don't drain; counts them, so for once a second. */
  get activeCount(): number {
    return this.#tunnels.size - this.drainingCount;
  }

  /** Streams of all tunnels; counts them, so for metrics only. */
  get streamCount(): number {
    let count = 0;
    for (const tunnel of this.#tunnels) count += tunnel.streamCount;
    return count;
  }

  /** Streams of the tunnel that has most; counts them, so for metrics only. */
  get highestStreamCount(): number {
    let highest = 0;
    for (const tunnel of this.#tunnels) highest = Math.max(highest, tunnel.streamCount);
    return highest;
  }

  /** Requests in flight of the endpoint that has most; looks at all, so for metrics only. */
  get highestRequestCount(): number {
    let highest = 0;
    for (const endpoint of this.#endpoints.values()) highest = Math.max(highest, endpoint.requests);
    return highest;
  }

  get endpointCount(): number {
    return this.#endpoints.size;
  }

  /** Listeners by endpoint: those that take requests. */
  listenerCounts(): Record<string, number> {
    const counts: [string, number][] = [];
    for (const [endpointId, { told }] of this.#endpoints) if (told > 0) counts.push([endpointId, told]);
    // Not by assignment: an endpoint may be called `__proto__`.
    return Object.fromEntries(counts);
  }

  /** Tunnels whose agents are silent; counts them, so for metrics only. */
  get doubtfulCount(): number {
    let count = 0;
    for (const tunnel of this.#tunnels) if (tunnel.doubtful) count++;
    return count;
  }

  /** Tunnels that drain; counts them, so for once a second and for metrics. */
  get drainingCount(): number {
    let count = 0;
    for (const endpoint of this.#endpoints.values()) count += endpoint.draining.length;
    return count;
  }
}
