// The tunnels of a listener that are in use. Tunnels that were replaced aren't among them, although they may still be open.
// Each tunnel leads to another node.

import type { TunnelStatus } from "./tunnel-status.js";
import type { UpstreamTunnel } from "./upstream-tunnel.js";

/** The result of adding a tunnel that was just opened. */
export interface Placed {
  /** Whether the tunnel is surplus: there already is one to the same node, which stays. */
  readonly surplus: boolean;
  /** The tunnel that it replaces. */
  readonly earlier: UpstreamTunnel | undefined;
}

export class Homes {
  readonly #wanted: number;
  /** Oldest first. */
  readonly #tunnels: UpstreamTunnel[] = [];

  /** `wanted`: number of tunnels that there should be. */
  constructor(wanted: number) {
    this.#wanted = wanted;
  }

  has(tunnel: UpstreamTunnel): boolean {
    return this.#tunnels.includes(tunnel);
  }

  get newest(): UpstreamTunnel | undefined {
    return this.#tunnels.at(-1);
  }

  /** The tunnel to a node; undefined finds one to a Go node. */
  at(nodeId: string | undefined): UpstreamTunnel | undefined {
    return this.#tunnels.find((tunnel) => tunnel.nodeId === nodeId);
  }

  /** Number of tunnels that don't have to be replaced. */
  get staying(): number {
    return this.#tunnels.filter(({ stays }) => stays).length;
  }

  /**
   * Whether no further tunnel is wanted. One to a Go node is enough: such nodes don't identify themselves, and each tunnel that
   * turned out to be surplus could lose a request in transit.
   */
  get complete(): boolean {
    if (this.#tunnels.some(({ stale }) => stale)) return false;
    return this.staying >= this.#wanted || this.at(undefined)?.stays === true;
  }

  get status(): TunnelStatus {
    const nodeIds = this.#tunnels.map(({ nodeId }) => nodeId);
    return { open: nodeIds.length, wanted: this.#wanted, nodeIds };
  }

  /** Round-trip time to each tunnel's node in milliseconds, in the order of the status; undefined if not measured yet. */
  get roundTripsMs(): readonly (number | undefined)[] {
    return this.#tunnels.map(({ roundTripMs }) => roundTripMs);
  }

  /** Measures the round-trip time to each node. */
  timeRoundTrips(): void {
    for (const tunnel of this.#tunnels) tunnel.timeRoundTrip();
  }

  /** The tokens of the tunnels. */
  get tokens(): readonly string[] {
    return this.#tunnels.map(({ token }) => token);
  }

  /** The current token has changed. */
  onToken(token: string): void {
    for (const tunnel of this.#tunnels) if (tunnel.token !== token) tunnel.stale = true;
  }

  /**
   * Adds a tunnel that was just opened; `repeat` if its request told the node that it replaces another one. It replaces the one
   * to the same node, otherwise one that can't stay.
   */
  place(tunnel: UpstreamTunnel, repeat: boolean): Placed {
    const same = this.at(tunnel.nodeId);
    // Go nodes ignore `repeat`.
    if (same?.stays === true && !(repeat && tunnel.nodeId !== undefined)) {
      return { surplus: true, earlier: undefined };
    }
    const earlier =
      same ?? this.#tunnels.find(({ stale }) => stale) ?? this.#tunnels.find(({ leaving }) => leaving);
    if (earlier !== undefined) this.remove(earlier);
    this.#tunnels.push(tunnel);
    return { surplus: false, earlier };
  }

  /** Removes a tunnel; false if it isn't in use. */
  remove(tunnel: UpstreamTunnel): boolean {
    const at = this.#tunnels.indexOf(tunnel);
    if (at >= 0) this.#tunnels.splice(at, 1);
    return at >= 0;
  }

  /** Removes the tunnels whose token is outdated. */
  removeStale(): UpstreamTunnel[] {
    const stale = this.#tunnels.filter((tunnel) => tunnel.stale);
    for (const tunnel of stale) this.remove(tunnel);
    return stale;
  }
}
