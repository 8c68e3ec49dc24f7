// The server that `serve` uses: the program's own, or one created for its handler.

import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { Server as NetServer } from "node:net";
import { type ConnectionServer, isConnectionServer } from "./connection-server.js";
import { ClientError } from "./errors.js";
import { answerByFetch, failed, type FetchFunction, type FetchHandler } from "./fetch-handler.js";
import { isResponse, sendResponse } from "./fetch-response.js";
import { Http2Gateway } from "./http2-gateway.js";
import { type ConnectionInjector, http2Connector } from "./http2-server.js";

/** Options for handlers that aren't servers themselves. */
export interface HandlerOptions {
  /**
   * Called with what a handler throws. The client gets status 500, or a cut connection if the response has begun. Default
   * `console.error`.
   */
  readonly onError?: ((error: unknown) => void) | undefined;
  /**
   * Maximum size of a request head in bytes; larger ones get 431. Default: 1 MiB, the maximum of Piko servers, plus 16 KiB
   * for what they add. A server of your own has Node's default of 16 KiB unless you give it `maxHeaderSize`.
   */
  readonly maxHeaderBytes?: number | undefined;
}

/** Default of {@link HandlerOptions.maxHeaderBytes}. */
const DEFAULT_MAX_HEADER_BYTES: number = 1024 * 1024 + 16 * 1024;

/** What answers HTTP requests: anything that frameworks export. */
export type HttpHandler = RequestListener | FetchHandler | FetchFunction | NetServer | ConnectionInjector;

/** The server for a handler. Throws PIKO_CLIENT_BAD_OPTION for anything else. */
export function serverOf(handler: ConnectionServer | HttpHandler, options: HandlerOptions): ConnectionServer {
  const onError = options.onError ?? ((error: unknown) => console.error(error));
  const { maxHeaderBytes = DEFAULT_MAX_HEADER_BYTES } = options;
  if (!Number.isSafeInteger(maxHeaderBytes) || maxHeaderBytes < 1) {
    throw new ClientError(
      "PIKO_CLIENT_BAD_OPTION",
      `maxHeaderBytes: ${String(maxHeaderBytes)} is not a number of bytes`,
    );
  }
  const open = http2Connector(handler);
  if (open !== undefined) {
    return new Http2Gateway({ open, authority: undefined, secure: false, maxHeaderBytes, onFailed: onError });
  }
  if (isConnectionServer(handler)) return handler;
  // Node ends a request that takes five minutes in total. A Piko server has its own limits, based on progress.
  const limits = { maxHeaderSize: maxHeaderBytes, requestTimeout: 0 };
  return createServer(limits, toListener(handler, onError));
}

function toListener(
  handler: ConnectionServer | HttpHandler,
  onError: (error: unknown) => void,
): RequestListener {
  if (typeof handler === "function") {
    // A request listener with one parameter could never respond, so this is a fetch function.
    if (handler.length === 1) return fetchListener({ fetch: handler as FetchFunction }, onError);
    return (incoming, outgoing) =>
      void answerByListener(handler as RequestListener, incoming, outgoing, onError);
  }
  if (
    typeof handler === "object" &&
    handler !== null &&
    "fetch" in handler &&
    typeof handler.fetch === "function"
  ) {
    return fetchListener(handler, onError);
  }
  throw new ClientError(
    "PIKO_CLIENT_BAD_OPTION",
    "handler: not a function (req, res), nor an object with fetch, nor a server of node:http or node:http2 (for Koa pass app.callback(), for Fastify app.server once it is ready)",
  );
}

function fetchListener(handler: FetchHandler, onError: (error: unknown) => void): RequestListener {
  return (incoming, outgoing) => void answerByFetch(handler, incoming, outgoing, onError);
}

/** Calls a listener. If it returns a Response instead of writing one, that is sent: `() => new Response("hello")` is a handler. */
async function answerByListener(
  listener: RequestListener,
  incoming: IncomingMessage,
  outgoing: ServerResponse & { req: IncomingMessage },
  onError: (error: unknown) => void,
): Promise<void> {
  try {
    const result: unknown = await (listener as (...args: unknown[]) => unknown)(incoming, outgoing);
    if (!outgoing.headersSent && isResponse(result))
      await sendResponse(result, incoming.method ?? "", outgoing);
  } catch (error) {
    failed(outgoing, error, onError);
  }
}
