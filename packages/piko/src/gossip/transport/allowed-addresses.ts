// The addresses that gossip is exchanged with, if the configuration limits them: nothing is read from others or sent to
// them.

import type { AddressRanges } from "../../base/address-ranges.js";
import type { Drops } from "../protocol/drops.js";

/** The addresses of nodes. */
export class AllowedAddresses {
  readonly #ranges: AddressRanges | undefined;
  readonly #drops: Drops | undefined;

  constructor(ranges: AddressRanges | undefined, drops: Drops | undefined) {
    this.#ranges = ranges?.empty === true ? undefined : ranges;
    this.#drops = drops;
  }

  /** Whether an IP address is one of them, in its canonical form; a zone doesn't count. */
  has(ip: string): boolean {
    if (this.#ranges === undefined) return true;
    const zone = ip.indexOf("%");
    return this.#ranges.includes(zone < 0 ? ip : ip.slice(0, zone));
  }

  /** The same of who sends something, which is counted if it is not. */
  admits(ip: string): boolean {
    if (this.has(ip)) return true;
    this.#drops?.add("address", ip);
    return false;
  }
}
