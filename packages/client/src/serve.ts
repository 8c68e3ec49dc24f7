// Serving HTTP on an endpoint, as programs ask for it.

import { createServer, type RequestListener } from "node:http";
import { type FetchHandler, toRequestListener } from "./fetch-handler.js";
import { listen } from "./listen.js";
import type { Listener } from "./listener.js";
import type { ListenOptions } from "./options.js";

/** Options of `serve`. */
export interface ServeOptions extends ListenOptions {
  /** Told what a `fetch` handler throws; its client gets status 500. Default `console.error`. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

/**
 * Answers the HTTP requests of an endpoint. `handler` is a function `(req, res)` as for `http.createServer` (an Express
 * app is one), or an object with a `fetch` method that takes a web-standard `Request` and gives a `Response`.
 *
 * For upgrades such as WebSocket, make an `http.Server` of your own and `attach` it to a listener. Rejects as `listen`
 * does.
 */
export async function serve(
  endpointId: string,
  handler: RequestListener | FetchHandler,
  options: ServeOptions = {},
): Promise<Listener> {
  const onError = options.onError ?? ((error: unknown) => console.error(error));
  // Express apps are functions, and Hono's have `fetch`: a function is always taken for a request listener.
  const server = createServer(typeof handler === "function" ? handler : toRequestListener(handler, onError));
  const listener = await listen(endpointId, options);
  return listener.attach(server);
}
