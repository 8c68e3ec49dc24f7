// The tunnels of one endpoint, and the choice among them.

import type { Tunnel } from "./tunnel.js";

export class EndpointTunnels {
  readonly active: Tunnel[] = [];
  readonly draining: Tunnel[] = [];
  /** Requests, upgraded and TCP connections in progress; counted by the code that begins and ends them. */
  requests = 0;
  /** Number of listeners as last announced; see {@link listenerCount}. */
  told = 0;
  /** That several agents listen has been said. */
  toldShared = false;
  /** What was announced with it; see {@link doubtful}. */
  toldDoubtful = false;
  readonly #random: () => number;
  /** Which of the active ones are doubtful. */
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
   * Of two active ones at random the one with fewer requests in flight, so that one that is slow gets less, and nobody
   * crowds on the emptiest; of equals the one whose turn is longer ago. Neither `except`, nor those that are doubtful or
   * take no stream now.
   */
  select(except: unknown): Tunnel | undefined {
    return this.#doubtful.size === this.active.length ? undefined : this.#selectOf(false, except);
  }

  /** A draining one that still takes a stream: for when there is nothing better, on this node or another. */
  selectDraining(except: unknown): Tunnel | undefined {
    return this.draining.find((tunnel) => isFree(tunnel, false, except));
  }

  /** One that may never answer: for when there is nothing else, not even draining ones or another node. */
  selectDoubtful(except: unknown): Tunnel | undefined {
    return this.#selectOf(true, except) ?? this.draining.find((tunnel) => isFree(tunnel, true, except));
  }

  /** There is one that isn't doubtful, besides `except`, and takes a stream. */
  hasFree(except: unknown): boolean {
    const isWell = (tunnel: Tunnel): boolean => isFree(tunnel, false, except);
    return this.active.some(isWell) || this.draining.some(isWell);
  }

  /** For an endpoint that has just had no tunnel to give: whether it has any, besides `except`, that will take streams. */
  isFull(except: unknown): boolean {
    return (
      this.active.some((tunnel) => tunnel !== except) ||
      this.draining.some((tunnel) => tunnel.usable && tunnel !== except)
    );
  }

  /** How many other agents than that of this listener have tunnels here: several tunnels of one count once. */
  otherAgents({ instance, tenantId }: { instance: string; tenantId: string }): number {
    const others = new Set<string | Tunnel>();
    for (const tunnel of [...this.active, ...this.draining]) {
      if (tunnel.tenantId !== tenantId || (instance !== "" && tunnel.instance === instance)) continue;
      others.add(tunnel.instance === "" ? tunnel : tunnel.instance);
    }
    return others.size;
  }

  /** Tunnels that requests are sent to. */
  get listenerCount(): number {
    if (this.active.length > 0) return this.active.length;
    let count = 0;
    for (const tunnel of this.draining) if (tunnel.usable) count++;
    return count;
  }

  /** All tunnels that requests are sent to are doubtful. */
  get doubtful(): boolean {
    if (this.#doubtful.size < this.active.length) return false;
    return !this.draining.some((tunnel) => tunnel.usable && !tunnel.doubtful);
  }

  get tunnelCount(): number {
    return this.active.length + this.draining.length;
  }

  /** Takes a tunnel out. */
  withdraw(tunnel: Tunnel): boolean {
    const at = this.active.indexOf(tunnel);
    if (at < 0) return false;
    this.active.splice(at, 1);
    this.#doubtful.delete(tunnel);
    return true;
  }

  /** A tunnel has become doubtful, or is it no more. */
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

  /** The first place from `start` on, round the end, with a tunnel to choose, but not `taken`; -1 if there is none. */
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
