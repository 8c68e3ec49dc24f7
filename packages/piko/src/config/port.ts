// The addresses of a port.

import type { HostPort } from "../base/address.js";

/** Where a port listens, and the address that is announced to others. */
export interface PortConfig {
  readonly bindAddr: HostPort;
  /** Undefined if it is inferred from the bound address. */
  readonly advertiseAddr: HostPort | undefined;
}
