// The public function that listens on an endpoint.

import { Listener } from "./listener.js";
import type { ListenOptions } from "./options.js";

/**
 * Listens on an endpoint: connects to a Piko server and accepts the connections that clients make to the endpoint there.
 * Resolves when the first tunnel is open. From then on, the listener reconnects until it is closed.
 *
 * Rejects with a `ClientError`: PIKO_CLIENT_REFUSED if the server refuses it (`status` 401 for an invalid token),
 * PIKO_CLIENT_TIMEOUT if no server answered within `connectTimeoutMs`, PIKO_CLIENT_BAD_OPTION for invalid options; or
 * with the reason of `signal`.
 */
export async function listen(endpointId: string, options: ListenOptions = {}): Promise<Listener> {
  const listener = new Listener(endpointId, options);
  await listener.start(options.signal);
  return listener;
}
