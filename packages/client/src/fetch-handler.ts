// Runs web-standard handlers on Node's HTTP server: converts each request to a Request, and sends the Response. Bodies stream
// in both directions.

import type { IncomingMessage, ServerResponse } from "node:http";
import { toRequest } from "./fetch-request.js";
import { isResponse, type ResponseLike, sendResponse } from "./fetch-response.js";

/** A web-standard handler, such as what Hono and other frameworks export. */
export interface FetchHandler {
  /**
   * Answers a request. `request.signal` is aborted when the client disconnects before it has the whole response. If the
   * handler throws, the response is 500.
   */
  fetch: FetchFunction;
}

/** Takes a Request and returns a Response: Node's own, or one of another class such as node-fetch's. */
export type FetchFunction = (request: Request) => Response | ResponseLike | Promise<Response | ResponseLike>;

/** Answers a request with the handler's response. If the handler throws, `onError` is called, and the client gets a 500. */
export async function answerByFetch(
  handler: FetchHandler,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  onError: (error: unknown) => void,
): Promise<void> {
  const gone = new AbortController();
  outgoing.once("close", () => {
    // A response that failed on this side has an error; then the client did not disconnect.
    if (!outgoing.writableFinished && outgoing.errored === null)
      gone.abort(new DOMException("client disconnected", "AbortError"));
  });
  try {
    const request = toRequest(incoming, gone.signal);
    if ("message" in request) {
      fail(outgoing, request.status, request.message);
      return;
    }
    const response: unknown = await handler.fetch(request);
    if (!isResponse(response)) throw new TypeError("fetch handler returned no Response");
    await sendResponse(response, incoming.method ?? "", outgoing);
  } catch (error) {
    if (gone.signal.aborted) return;
    failed(outgoing, error, onError);
  }
}

/** Ends a response after its handler has failed. */
export function failed(outgoing: ServerResponse, error: unknown, onError: (error: unknown) => void): void {
  onError(error);
  // The status of a response that has begun can't be changed; and it must not look complete either.
  if (outgoing.headersSent) outgoing.destroy();
  else fail(outgoing, 500, "internal error");
}

function fail(outgoing: ServerResponse, status: number, error: string): void {
  for (const name of outgoing.getHeaderNames()) outgoing.removeHeader(name);
  outgoing.statusMessage = "";
  outgoing.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ error }));
}
