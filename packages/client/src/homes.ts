// The tunnels of a listener that are in use, without those that have been replaced, though these may still be open. Each
// leads to another node.

import type { TunnelStatus } from "./tunnel-status.js";
import type { UpstreamTunnel } from "./upstream-tunnel.js";

/** What becomes of a tunnel that has just been opened. */
export interface Placed {
  /** There is one to that node already, and it stays: this one is too many. */
  readonly surplus: boolean;
  /** The one whose place it has taken. */
  readonly earlier: UpstreamTunnel | undefined;
}

export class Homes {
  readonly #wanted: number;
  /** The oldest first. */
  readonly #tunnels: UpstreamTunnel[] = [];

  /** `wanted`: the number of tunnels that there should be. */
  constructor(wanted: number) {
    this.#wanted = wanted;
  }

  has(tunnel: UpstreamTunnel): boolean {
    return this.#tunnels.includes(tunnel);
  }

  get newest(): UpstreamTunnel | undefined {
    return this.#tunnels.at(-1);
  }

  /** The tunnel to a node; undefined asks for one to a Go node. */
  at(nodeId: string | undefined): UpstreamTunnel | undefined {
    return this.#tunnels.find((tunnel) => tunnel.nodeId === nodeId);
  }

  /** How many there are that nothing speaks against. */
  get staying(): number {
    return this.#tunnels.filter(({ stays }) => stays).length;
  }

  /**
   * No further tunnel is wanted. One to a Go node is enough: such nodes don't say who they are, and each tunnel that turned out
   * to be one too many could lose the request that is on its way.
   */
  get complete(): boolean {
    if (this.#tunnels.some(({ stale }) => stale)) return false;
    return this.staying >= this.#wanted || this.at(undefined)?.stays === true;
  }

  get status(): TunnelStatus {
    const nodeIds = this.#tunnels.map(({ nodeId }) => nodeId);
    return { open: nodeIds.length, wanted: this.#wanted, nodeIds };
  }

  /** Milliseconds to the node of each and back, in the order of the status; undefined where that isn't known yet. */
  get roundTripsMs(): readonly (number | undefined)[] {
    return this.#tunnels.map(({ roundTripMs }) => roundTripMs);
  }

  /** Times the way to each node and back. */
  timeRoundTrips(): void {
    for (const tunnel of this.#tunnels) tunnel.timeRoundTrip();
  }

  /** Their tokens. */
  get tokens(): readonly string[] {
    return this.#tunnels.map(({ token }) => token);
  }

  /** The token of now is another one. */
  onToken(token: string): void {
    for (const tunnel of this.#tunnels) if (tunnel.token !== token) tunnel.stale = true;
  }

  /**
   * A tunnel has been opened; `repeat`: its node was told that it takes another one's place. It takes that of the one to the same
   * node, else of one that can't stay.
   */
  place(tunnel: UpstreamTunnel, repeat: boolean): Placed {
    const same = this.at(tunnel.nodeId);
    // What was said to a Go node doesn't count.
    if (same?.stays === true && !(repeat && tunnel.nodeId !== undefined)) {
      return { surplus: true, earlier: undefined };
    }
    const earlier =
      same ?? this.#tunnels.find(({ stale }) => stale) ?? this.#tunnels.find(({ leaving }) => leaving);
    if (earlier !== undefined) this.remove(earlier);
    this.#tunnels.push(tunnel);
    return { surplus: false, earlier };
  }

  /** Takes a tunnel out; false if it is not in place. */
  remove(tunnel: UpstreamTunnel): boolean {
    const at = this.#tunnels.indexOf(tunnel);
    if (at >= 0) this.#tunnels.splice(at, 1);
    return at >= 0;
  }

  /** Takes those out whose token is an old one. */
  removeStale(): UpstreamTunnel[] {
    const stale = this.#tunnels.filter((tunnel) => tunnel.stale);
    for (const tunnel of stale) this.remove(tunnel);
    return stale;
  }
}
