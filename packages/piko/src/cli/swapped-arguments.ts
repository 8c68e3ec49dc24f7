// Detects an endpoint in the place of the address, and the other way round.

import { type ListenerProtocol, parseServiceAddress } from "../base/service-address.js";
import { ConfigError } from "../config/config-error.js";

/**
 * Throws if the address isn't an address, but the endpoint is. `right` is the correct usage, for the error.
 *
 * @throws ConfigError
 */
export function refuseSwapped(
  given: { readonly address: string; readonly endpoint: string },
  protocol: ListenerProtocol,
  right: string,
): void {
  if (isAddress(given.address, protocol) || !isAddress(given.endpoint, protocol)) return;
  const message = `are the arguments swapped? ${right}`;
  throw new ConfigError([{ path: "", flag: "<addr>", place: undefined, message }]);
}

function isAddress(text: string, protocol: ListenerProtocol): boolean {
  try {
    parseServiceAddress(text, protocol);
    return true;
  } catch {
    return false;
  }
}
