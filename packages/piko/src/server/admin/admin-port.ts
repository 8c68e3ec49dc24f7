// The admin port: health, readiness, metrics and status. Rarely called and never by clients, so node:http will do.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { HostPort } from "../../config/address.js";
import { formatHostPort } from "../../config/address.js";
import type { Logger } from "../../observability/logger.js";

/** Answers a GET request. */
export type AdminRoute = (response: ServerResponse) => void | Promise<void>;

export class AdminPort {
  readonly #server: Server;
  readonly #routes: ReadonlyMap<string, AdminRoute>;
  readonly #logger: Logger;

  constructor(routes: ReadonlyMap<string, AdminRoute>, logger: Logger) {
    this.#routes = routes;
    this.#logger = logger;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  /** Binds the port; resolves to the address that it has. */
  async listen(address: HostPort): Promise<HostPort> {
    const server = this.#server;
    await new Promise<void>((resolve, reject) => {
      const fail = (error: NodeJS.ErrnoException): void => {
        const reason = error.code === "EADDRINUSE" ? "address already in use" : error.message;
        reject(new Error(`admin listen: ${formatHostPort(address)}: ${reason}`, { cause: error }));
      };
      server.once("error", fail);
      const host = address.host === "" ? {} : { host: address.host };
      server.listen({ port: address.port, ...host }, () => {
        server.off("error", fail);
        resolve();
      });
    });
    const bound = server.address();
    if (bound === null || typeof bound === "string") throw new Error("admin listen: no address");
    return { host: bound.address, port: bound.port };
  }

  /** Ends at once, open connections included. */
  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? "/";
    const path = url.split("?", 1)[0] ?? "/";
    const route = this.#routes.get(path);
    if (route === undefined) {
      const trimmed = path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : "";
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
      this.#logger.error("admin request failed", { path, error });
      if (!response.headersSent) response.writeHead(500);
      response.end();
    }
  }
}

/** Sends a value as JSON. */
export function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "Content-Type": "application/json; charset=utf-8" }).end(JSON.stringify(value));
}
