// An endpoint where the address should be, and the other way round: told as what it is.

import { type ListenerProtocol, parseServiceAddress } from "../base/service-address.js";
import { ConfigError } from "../config/config-error.js";

/**
 * Looks whether each of two arguments can only be the other one. `right`: how they would be right.
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
