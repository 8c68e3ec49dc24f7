// How many connections each client has: counted when a connection begins and ends, never per request.

import { clientNetwork } from "./client-network.js";

export class ClientCounts {
  readonly #max: number;
  readonly #counts = new Map<string, number>();

  /** `max`: connections that one client may have; Infinity counts nothing. */
  constructor(max: number) {
    this.#max = max;
  }

  /** A connection begins. False if the client has as many as it may; then it isn't counted. */
  enter(address: string): boolean {
    if (this.#max === Number.POSITIVE_INFINITY) return true;
    const client = clientNetwork(address);
    const count = this.#counts.get(client) ?? 0;
    if (count >= this.#max) return false;
    this.#counts.set(client, count + 1);
    return true;
  }

  /** A connection that was counted ends. */
  leave(address: string): void {
    const client = clientNetwork(address);
    const count = this.#counts.get(client);
    if (count === undefined) return;
    if (count === 1) this.#counts.delete(client);
    else this.#counts.set(client, count - 1);
  }

  /** Connections of the client that has most. */
  get highest(): number {
    let highest = 0;
    for (const count of this.#counts.values()) highest = Math.max(highest, count);
    return highest;
  }
}
