// The tunnels of this node, by endpoint.

import { EndpointTunnels } from "./endpoint-tunnels.js";
import { Instances } from "./instances.js";
import type { ReconnectWaits } from "./reconnect-waits.js";
import type { Tunnel } from "./tunnel.js";

export class Upstreams {
  /** Requests that wait because their endpoint has just lost its upstreams. */
  readonly waits: ReconnectWaits;
  /** How often a tunnel has become doubtful. */
  doubts = 0;
  readonly #onListeners: (endpointId: string, count: number, doubtful: boolean) => void;
  readonly #random: () => number;
  readonly #endpoints = new Map<string, EndpointTunnels>();
  readonly #tunnels = new Set<Tunnel>();
  readonly #instances = new Instances();

  /**
   * `onListeners` is called when the number of an endpoint's listeners that accept requests changes, or whether all of them are
   * doubtful. `random`: numbers in [0, 1).
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

  /** The tunnel is draining, and gets requests only if there is no other. Called again when it stops or resumes accepting them. */
  drain(tunnel: Tunnel): void {
    const endpoint = this.#endpoints.get(tunnel.endpointId);
    if (endpoint === undefined) return;
    if (endpoint.withdraw(tunnel)) endpoint.draining.push(tunnel);
    this.#changed(tunnel.endpointId, endpoint);
  }

  /** The tunnel has become doubtful, or no longer is. */
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
    if (count === endpoint.announced && doubtful === endpoint.announcedDoubtful) return;
    endpoint.announced = count;
    endpoint.announcedDoubtful = doubtful;
    this.#onListeners(endpointId, count, doubtful);
    if (count === 0) this.waits.onLost(endpointId);
    else this.waits.onFound(endpointId);
  }

  /** The tunnels of an endpoint here; undefined if there are none. */
  find(endpointId: string): EndpointTunnels | undefined {
    return this.#endpoints.get(endpointId);
  }

  /** The tunnel of a listener that names its instance, if it has one here and its agent keeps it. */
  tunnelOf(listener: { endpointId: string; tenantId: string; instance: string }): Tunnel | undefined {
    return this.#instances.find(listener);
  }

  /** The number of tunnels that requests for the endpoint are sent to. */
  listenerCount(endpointId: string): number {
    return this.#endpoints.get(endpointId)?.announced ?? 0;
  }

  /** All tunnels, in the order in which they were opened. */
  tunnels(): IterableIterator<Tunnel> {
    return this.#tunnels.values();
  }

  get tunnelCount(): number {
    return this.#tunnels.size;
  }

  /** The number of tunnels that aren't draining. Slow: meant for once a second. */
  get activeCount(): number {
    return this.#tunnels.size - this.drainingCount;
  }

  /** The number of streams of all tunnels. Slow: meant for metrics. */
  get streamCount(): number {
    let count = 0;
    for (const tunnel of this.#tunnels) count += tunnel.streamCount;
    return count;
  }

  /** The highest number of streams of one tunnel. Slow: meant for metrics. */
  get highestStreamCount(): number {
    let highest = 0;
    for (const tunnel of this.#tunnels) highest = Math.max(highest, tunnel.streamCount);
    return highest;
  }

  /** The highest number of requests in progress of one endpoint. Slow: meant for metrics. */
  get highestRequestCount(): number {
    let highest = 0;
    for (const endpoint of this.#endpoints.values()) highest = Math.max(highest, endpoint.requests);
    return highest;
  }

  get endpointCount(): number {
    return this.#endpoints.size;
  }

  /** The number of listeners that accept requests, by endpoint. */
  listenerCounts(): Record<string, number> {
    const counts: [string, number][] = [];
    for (const [endpointId, { announced }] of this.#endpoints)
      if (announced > 0) counts.push([endpointId, announced]);
    // Not by assignment: an endpoint's id may be `__proto__`.
    return Object.fromEntries(counts);
  }

  /** The number of doubtful tunnels. Slow: meant for metrics. */
  get doubtfulCount(): number {
    let count = 0;
    for (const tunnel of this.#tunnels) if (tunnel.doubtful) count++;
    return count;
  }

  /** The number of draining tunnels. Slow: meant for metrics, and for once a second. */
  get drainingCount(): number {
    let count = 0;
    for (const endpoint of this.#endpoints.values()) count += endpoint.draining.length;
    return count;
  }
}
