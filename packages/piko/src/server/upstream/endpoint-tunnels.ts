// The tunnels of one endpoint, and the choice among them.

import type { Tunnel } from "./tunnel.js";

export class EndpointTunnels {
  readonly active: Tunnel[] = [];
  readonly draining: Tunnel[] = [];
  /** Requests, upgrades and TCP connections in progress; counted by the code that begins and ends them. */
  requests = 0;
  /** Number of listeners as last announced; see {@link listenerCount}. */
  announced = 0;
  /** Whether it has been reported that several agents listen. */
  sharingReported = false;
  /** Doubt as last announced; see {@link doubtful}. */
  announcedDoubtful = false;
  readonly #random: () => number;
  /** The active tunnels that are doubtful. */
  readonly #doubtful = new Set<Tunnel>();
  #turn = 0;

  /** `random`: numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  add(tunnel: Tunnel): void {
    tunnel.turn = ++this.#turn;
    this.active.push(tunnel);
  }

  /**
   * Selects two active tunnels at random and returns the one with fewer requests in progress, or if they are equal, the one that
   * was selected longer ago. So slow tunnels get fewer requests, without all requests crowding onto the emptiest one. Skips
   * `except`, and tunnels that are doubtful or can't open a stream now.
   */
  select(except: unknown): Tunnel | undefined {
    return this.#doubtful.size === this.active.length ? undefined : this.#selectOf(false, except);
  }

  /** Selects a draining tunnel that can still open a stream, for when this node and others have nothing better. */
  selectDraining(except: unknown): Tunnel | undefined {
    return this.draining.find((tunnel) => isFree(tunnel, false, except));
  }

  /** Selects a doubtful tunnel, which may never answer, for when there is no other, draining or on another node. */
  selectDoubtful(except: unknown): Tunnel | undefined {
    return this.#selectOf(true, except) ?? this.draining.find((tunnel) => isFree(tunnel, true, except));
  }

  /** Whether a tunnel other than `except` isn't doubtful and can open a stream. */
  hasFree(except: unknown): boolean {
    const isUsable = (tunnel: Tunnel): boolean => isFree(tunnel, false, except);
    return this.active.some(isUsable) || this.draining.some(isUsable);
  }

  /** Called after no tunnel could be selected: whether there are any, except `except`, that are only busy now. */
  isFull(except: unknown): boolean {
    return (
      this.active.some((tunnel) => tunnel !== except) ||
      this.draining.some((tunnel) => tunnel.usable && tunnel !== except)
    );
  }

  /** The number of other agents of the same tenant that have tunnels here, each counted once. */
  otherAgents({ instance, tenantId }: { instance: string; tenantId: string }): number {
    const others = new Set<string | Tunnel>();
    for (const tunnel of [...this.active, ...this.draining]) {
      if (tunnel.tenantId !== tenantId || (instance !== "" && tunnel.instance === instance)) continue;
      others.add(tunnel.instance === "" ? tunnel : tunnel.instance);
    }
    return others.size;
  }

  /** The number of tunnels that requests are sent to. */
  get listenerCount(): number {
    if (this.active.length > 0) return this.active.length;
    let count = 0;
    for (const tunnel of this.draining) if (tunnel.usable) count++;
    return count;
  }

  /** Whether all tunnels that requests are sent to are doubtful. */
  get doubtful(): boolean {
    if (this.#doubtful.size < this.active.length) return false;
    return !this.draining.some((tunnel) => tunnel.usable && !tunnel.doubtful);
  }

  get tunnelCount(): number {
    return this.active.length + this.draining.length;
  }

  /** Removes a tunnel from the active ones; false if it isn't among them. */
  withdraw(tunnel: Tunnel): boolean {
    const at = this.active.indexOf(tunnel);
    if (at < 0) return false;
    this.active.splice(at, 1);
    this.#doubtful.delete(tunnel);
    return true;
  }

  /** A tunnel has become doubtful, or no longer is. */
  onDoubt(tunnel: Tunnel): void {
    if (!tunnel.doubtful) this.#doubtful.delete(tunnel);
    else if (this.active.includes(tunnel)) this.#doubtful.add(tunnel);
  }

  #selectOf(doubtful: boolean, except: unknown): Tunnel | undefined {
    const { active } = this;
    const first = this.#findFrom(this.#randomPlace(), doubtful, except, -1);
    if (first < 0) return undefined;
    const second = active.length === 1 ? -1 : this.#findFrom(this.#randomPlace(), doubtful, except, first);
    const one = active[first] as Tunnel;
    const other = active[second];
    const chosen = other !== undefined && isBefore(other, one) ? other : one;
    chosen.turn = ++this.#turn;
    return chosen;
  }

  #randomPlace(): number {
    const { length } = this.active;
    return length < 2 ? 0 : Math.floor(this.#random() * length);
  }

  /** The first index from `start` on, wrapping around, of a tunnel that can be selected, except `taken`; -1 if there is none. */
  #findFrom(start: number, doubtful: boolean, except: unknown, taken: number): number {
    const { active } = this;
    for (let i = 0; i < active.length; i++) {
      const at = (start + i) % active.length;
      if (at !== taken && isFree(active[at] as Tunnel, doubtful, except)) return at;
    }
    return -1;
  }
}

function isFree(tunnel: Tunnel, doubtful: boolean, except: unknown): boolean {
  return tunnel !== except && tunnel.doubtful === doubtful && tunnel.accepting;
}

function isBefore(one: Tunnel, other: Tunnel): boolean {
  return one.streamCount === other.streamCount ? one.turn < other.turn : one.streamCount < other.streamCount;
}
