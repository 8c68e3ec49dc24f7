// How many connections each client has: counted when a connection begins and ends, not per request.

import { clientNetwork } from "./client-network.js";

export class ClientCounts {
  readonly #max: number;
  readonly #counts = new Map<string, number>();

  /** @param max maximum connections per client; with Infinity, nothing is counted */
  constructor(max: number) {
    this.#max = max;
  }

  /** A connection begins. Returns false, without counting it, if the client already has the maximum. */
  enter(address: string): boolean {
    if (this.#max === Number.POSITIVE_INFINITY) return true;
    const client = clientNetwork(address);
    const count = this.#counts.get(client) ?? 0;
    if (count >= this.#max) return false;
    this.#counts.set(client, count + 1);
    return true;
  }

  /** A counted connection ends. */
  leave(address: string): void {
    const client = clientNetwork(address);
    const count = this.#counts.get(client);
    if (count === undefined) return;
    if (count === 1) this.#counts.delete(client);
    else this.#counts.set(client, count - 1);
  }

  /** The number of connections of the client that has the most. */
  get highest(): number {
    let highest = 0;
    for (const count of this.#counts.values()) highest = Math.max(highest, count);
    return highest;
  }
}
