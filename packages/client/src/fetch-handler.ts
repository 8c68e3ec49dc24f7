// Web-standard handlers on Node's HTTP server: a Request is made of each request, and its Response sent back, bodies
// streaming both ways.

import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";

/** A web-standard handler, such as what Hono and other frameworks export. */
export interface FetchHandler {
  /**
   * Answers a request. `request.signal` is aborted when the client goes away before it has the whole response. A handler
   * that throws answers 500.
   */
  fetch(request: Request): Response | Promise<Response>;
}

/** Makes a listener for `http.createServer` of a web-standard handler; `onError` is told what it throws. */
export function toRequestListener(handler: FetchHandler, onError: (error: unknown) => void): RequestListener {
  return (incoming, outgoing) => {
    void answer(handler, incoming, outgoing, onError);
  };
}

async function answer(
  handler: FetchHandler,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  onError: (error: unknown) => void,
): Promise<void> {
  const gone = new AbortController();
  outgoing.once("close", () => {
    // A response that broke off on this side is closed with an error.
    if (!outgoing.writableFinished && outgoing.errored === null)
      gone.abort(new DOMException("client disconnected", "AbortError"));
  });
  let request: Request;
  try {
    request = toRequest(incoming, gone.signal);
  } catch {
    // A method or target that Request has no room for, such as TRACE.
    fail(outgoing, 501, "not implemented");
    return;
  }
  try {
    const response = await handler.fetch(request);
    if (!(response instanceof Response)) throw new TypeError("fetch handler gave no Response");
    if (response.type === "error") throw new TypeError("fetch handler gave Response.error()");
    await send(response, incoming.method ?? "", outgoing);
  } catch (error) {
    if (gone.signal.aborted) return;
    onError(error);
    // A response that has begun can't change its status; it must not look complete either.
    if (outgoing.headersSent) outgoing.destroy();
    else fail(outgoing, 500, "internal error");
  }
}

function toRequest(incoming: IncomingMessage, signal: AbortSignal): Request {
  const { method = "GET", url = "/", rawHeaders } = incoming;
  const headers = new Headers();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2)
    headers.append(rawHeaders[i] ?? "", rawHeaders[i + 1] ?? "");
  const scheme = incoming.headers["x-forwarded-proto"] === "https" ? "https" : "http";
  const origin = `${scheme}://${incoming.headers.host ?? "localhost"}`;
  const target = url.startsWith("/") ? origin + url : url === "*" ? `${origin}/*` : url;
  const { "content-length": length, "transfer-encoding": coding } = incoming.headers;
  const hasBody = method !== "GET" && method !== "HEAD" && (coding !== undefined || Number(length) > 0);
  const body = hasBody ? Readable.toWeb(incoming) : null;
  return new Request(target, { method, headers, body, duplex: "half", signal } as RequestInit);
}

async function send(response: Response, method: string, outgoing: ServerResponse): Promise<void> {
  outgoing.statusCode = response.status;
  if (response.statusText !== "") outgoing.statusMessage = response.statusText;
  for (const [name, value] of response.headers) {
    if (name !== "set-cookie") outgoing.setHeader(name, value);
  }
  const cookies = response.headers.getSetCookie();
  if (cookies.length > 0) outgoing.setHeader("set-cookie", cookies);
  const body = response.body as ReadableStream<Uint8Array> | null;
  if (body === null) {
    outgoing.end();
  } else if (method === "HEAD") {
    outgoing.end();
    await body.cancel();
  } else {
    // An event stream's client wants the head before the first event.
    outgoing.flushHeaders();
    await pipeline(Readable.fromWeb(body), outgoing);
  }
}

function fail(outgoing: ServerResponse, status: number, error: string): void {
  for (const name of outgoing.getHeaderNames()) outgoing.removeHeader(name);
  outgoing.statusMessage = "";
  outgoing.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ error }));
}
