// A small HTTP server with fixed paths: the admin port of a node, the metrics port of an agent. Rarely called and never
// by clients, so node:http will do.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { HostPort } from "../base/address.js";
import type { Logger } from "../observability/logger.js";
import type { Metrics } from "../observability/metrics.js";
import { listen } from "./accept/listen.js";

/** Answers a GET or HEAD request. */
export type Route = (response: ServerResponse) => void | Promise<void>;

export interface RouteServerOptions {
  /** For error texts: "admin". */
  readonly name: string;
  readonly logger: Logger;
  /** The route of a path; undefined for a path that doesn't exist. */
  readonly find: (path: string) => Route | undefined;
  /** Is asked before `find`, and answers a request in another way if it returns true. */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse) => boolean;
}

export class RouteServer {
  readonly #options: RouteServerOptions;
  readonly #server: Server;

  constructor(options: RouteServerOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  /** Binds the port; resolves to the address that it has. */
  listen(address: HostPort): Promise<HostPort> {
    return listen(this.#server, this.#options.name, address);
  }

  /** Ends at once, open connections included. */
  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { find, intercept, logger } = this.#options;
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405, { Allow: "GET, HEAD" }).end();
      return;
    }
    try {
      if (intercept?.(request, response) === true) return;
      const route = find(path);
      if (route !== undefined) await route(response);
      else notFound(path, find, response);
    } catch (error) {
      logger.error("request failed", { path, error });
      if (!response.headersSent) response.writeHead(500);
      response.end();
    }
  }
}

function notFound(path: string, find: RouteServerOptions["find"], response: ServerResponse): void {
  const trimmed = path.endsWith("/") ? path.slice(0, -1) : "";
  if (find(trimmed) !== undefined) response.writeHead(301, { Location: trimmed }).end();
  else response.writeHead(404, { "Content-Type": "text/plain" }).end("404 page not found");
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
