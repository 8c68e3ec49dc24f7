// A list of addresses and networks, such as the trusted proxies. Checked once per connection, and for the entries in
// X-Forwarded-For from these proxies.

import { BlockList, isIP } from "node:net";

export class AddressRanges {
  /** Whether the list is empty. */
  readonly empty: boolean;
  readonly #list = new BlockList();

  /**
   * Accepts addresses (`10.0.0.1`, `::1`) and networks (`10.0.0.0/8`, `fd00::/8`).
   *
   * @throws RangeError that quotes an entry which is neither.
   */
  constructor(entries: readonly string[]) {
    this.empty = entries.length === 0;
    for (const entry of entries) this.#add(entry);
  }

  /** Whether the address is in one of the ranges; false for text that isn't an address. */
  includes(address: string): boolean {
    if (this.empty) return false;
    const family = isIP(address);
    return family !== 0 && this.#list.check(address, family === 4 ? "ipv4" : "ipv6");
  }

  #add(entry: string): void {
    const slash = entry.indexOf("/");
    const address = slash < 0 ? entry : entry.slice(0, slash);
    const family = address.includes("%") ? 0 : isIP(address);
    const bits = family === 4 ? 32 : 128;
    const prefix = slash < 0 ? bits : parsePrefix(entry.slice(slash + 1));
    if (family === 0 || prefix > bits) {
      throw new RangeError(
        `invalid address range ${JSON.stringify(entry)}: must be an address or a network, such as 10.0.0.1 or 10.0.0.0/8`,
      );
    }
    this.#list.addSubnet(address, prefix, family === 4 ? "ipv4" : "ipv6");
  }
}

function parsePrefix(text: string): number {
  return /^(0|[1-9]\d{0,2})$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY;
}
