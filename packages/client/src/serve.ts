// The public function that serves HTTP on an endpoint.

import { type HandlerOptions, type HttpHandler, serverOf } from "./handler-server.js";
import { listen } from "./listen.js";
import type { Listener } from "./listener.js";
import type { ListenOptions } from "./options.js";

/** Options of `serve`. */
export interface ServeOptions extends ListenOptions, HandlerOptions {}

/**
 * Answers the HTTP requests of an endpoint. `handler` is one of these:
 *
 * - a function `(req, res)` as for `http.createServer`; an Express app is one;
 * - a web-standard handler that takes a `Request` and returns a `Response`: an object with such a `fetch` method, or such a
 *   function with one parameter;
 * - a server of your own, such as `http.createServer(app)`, which gets the connections, including upgrades such as WebSocket.
 *   It doesn't have to listen;
 * - a server that speaks HTTP/2: `http2.createServer()`, or the result of `createConnectionInjector` of a `@grpc/grpc-js`
 *   server. It gets all requests on one connection within this program, including trailers and bidirectional streams, but no
 *   upgrades such as WebSocket.
 *
 * Rejects as `listen` does, and with PIKO_CLIENT_BAD_OPTION for any other handler.
 */
export async function serve(
  endpointId: string,
  handler: HttpHandler,
  options: ServeOptions = {},
): Promise<Listener> {
  const server = serverOf(handler, options);
  const listener = await listen(endpointId, options);
  return listener.attach(server);
}
