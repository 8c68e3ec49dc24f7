// Listening on an endpoint, as programs ask for it.

import { Listener } from "./listener.js";
import type { ListenOptions } from "./options.js";

/**
 * Listens on an endpoint: connects to a Piko server and accepts the connections that clients make to the endpoint there.
 * Resolves when the first tunnel is open; from then on the listener reconnects by itself, for ever, until it is closed.
 *
 * Rejects with a `ClientError`: PIKO_CLIENT_REFUSED when the server won't have it (`status` 401 for a bad token),
 * PIKO_CLIENT_TIMEOUT when none answered in `connectTimeoutMs`, PIKO_CLIENT_BAD_OPTION for options that can't work. Or
 * with the reason of `signal`.
 */
export async function listen(endpointId: string, options: ListenOptions = {}): Promise<Listener> {
  const listener = new Listener(endpointId, options);
  await listener.start(options.signal);
  return listener;
}
