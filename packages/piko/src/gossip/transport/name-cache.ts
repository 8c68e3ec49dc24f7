// IP addresses of nodes whose address is a name. Sending a packet never waits for a name server: until a name is resolved,
// packets to it are lost, as any packet may be.

import type { Clock, HostLookup } from "@piko/tunnel";
import { canonicalIp } from "../wire/peer-address.js";

interface Known {
  ips: readonly string[];
  /** When it is looked up again; the old addresses are used meanwhile. */
  staleAt: number;
  asking: boolean;
}

const FRESH_MS = 10_000;
/** Maximum lookups at a time: other nodes choose their addresses. */
const MAX_LOOKUPS = 8;
const MAX_NAMES = 1_024;

/** Names that packets were sent to. */
export class NameCache {
  readonly #clock: Clock;
  readonly #lookup: HostLookup;
  readonly #names = new Map<string, Known>();
  #lookups = 0;

  constructor(clock: Clock, lookup: HostLookup) {
    this.#clock = clock;
    this.#lookup = lookup;
  }

  /** The addresses of a name that are known now. */
  find(name: string): readonly string[] {
    let known = this.#names.get(name);
    if (known === undefined) {
      if (this.#names.size >= MAX_NAMES) this.#names.clear();
      known = { ips: [], staleAt: Number.NEGATIVE_INFINITY, asking: false };
      this.#names.set(name, known);
    }
    if (!known.asking && this.#lookups < MAX_LOOKUPS && this.#clock.now() >= known.staleAt)
      this.#ask(name, known);
    return known.ips;
  }

  #ask(name: string, known: Known): void {
    known.asking = true;
    this.#lookups += 1;
    this.#lookup.lookup(name, (error, ips) => {
      this.#lookups -= 1;
      known.asking = false;
      known.staleAt = this.#clock.now() + FRESH_MS;
      if (error === undefined) known.ips = ips.map(canonicalIp);
    });
  }
}
