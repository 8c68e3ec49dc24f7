// A small HTTP server with fixed paths: the admin port of a node, the metrics port of an agent. Rarely called and never
// by clients, so node:http will do.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { HostPort } from "../config/address.js";
import type { Logger } from "../observability/logger.js";
import type { Metrics } from "../observability/metrics.js";
import { listen } from "./listen.js";

/** Answers a GET or HEAD request. */
export type Route = (response: ServerResponse) => void | Promise<void>;

/** Answers paths that no fixed route has; false for one that it doesn't know. */
export type RouteFallback = (path: string, response: ServerResponse) => boolean;

export class RouteServer {
  readonly #name: string;
  readonly #server: Server;
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #logger: Logger;
  readonly #fallback: RouteFallback;

  /** `name` is for error texts: "admin". */
  constructor(
    name: string,
    routes: ReadonlyMap<string, Route>,
    logger: Logger,
    fallback: RouteFallback = () => false,
  ) {
    this.#fallback = fallback;
    this.#name = name;
    this.#routes = routes;
    this.#logger = logger;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  /** Binds the port; resolves to the address that it has. */
  listen(address: HostPort): Promise<HostPort> {
    return listen(this.#server, this.#name, address);
  }

  /** Ends at once, open connections included. */
  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    const route = this.#routes.get(path);
    if (route === undefined) {
      if (this.#fallback(path, response)) return;
      const trimmed = path.endsWith("/") ? path.slice(0, -1) : "";
      if (this.#routes.has(trimmed)) response.writeHead(301, { Location: trimmed }).end();
      else response.writeHead(404, { "Content-Type": "text/plain" }).end("404 page not found");
      return;
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405, { Allow: "GET, HEAD" }).end();
      return;
    }
    try {
      await route(response);
    } catch (error) {
      this.#logger.error("request failed", { path, error });
      if (!response.headersSent) response.writeHead(500);
      response.end();
    }
  }
}

/** The route of `/metrics`. */
export function metricsRoute(metrics: Metrics): Route {
  return async (response) => {
    const text = await metrics.text();
    response.writeHead(200, { "Content-Type": metrics.contentType }).end(text);
  };
}

/** Sends a value as JSON. */
export function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "Content-Type": "application/json; charset=utf-8" }).end(JSON.stringify(value));
}
