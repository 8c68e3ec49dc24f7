// The addresses that gossip is exchanged with, if the configuration limits them: nothing is read from or sent to any others.

import type { AddressRanges } from "../../base/address-ranges.js";
import type { Drops } from "../protocol/drops.js";

/** The allowed addresses. */
export class AllowedAddresses {
  readonly #ranges: AddressRanges | undefined;
  readonly #drops: Drops | undefined;

  constructor(ranges: AddressRanges | undefined, drops: Drops | undefined) {
    this.#ranges = ranges?.empty === true ? undefined : ranges;
    this.#drops = drops;
  }

  /** Whether an IP address, in its canonical form, is allowed; a zone is ignored. */
  has(ip: string): boolean {
    if (this.#ranges === undefined) return true;
    const zone = ip.indexOf("%");
    return this.#ranges.includes(zone < 0 ? ip : ip.slice(0, zone));
  }

  /** The same for the sender of something, which is counted as dropped if it isn't allowed. */
  admits(ip: string): boolean {
    if (this.has(ip)) return true;
    this.#drops?.add("address", ip);
    return false;
  }
}
