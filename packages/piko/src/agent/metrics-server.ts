// The agent's own port: `/metrics` and nothing else. Rarely called and never by clients, so node:http will do.

import { createServer, type Server } from "node:http";
import { formatHostPort, type HostPort } from "../config/address.js";
import type { Metrics } from "../observability/metrics.js";

export class MetricsServer {
  readonly #server: Server;

  constructor(metrics: Metrics) {
    this.#server = createServer((request, response) => {
      const path = (request.url ?? "").split("?", 1)[0];
      if (path !== "/metrics") {
        response.writeHead(404, { "Content-Type": "text/plain" }).end("404 page not found");
      } else if (request.method !== "GET" && request.method !== "HEAD") {
        response.writeHead(405, { Allow: "GET, HEAD" }).end();
      } else {
        metrics.text().then(
          (text) => response.writeHead(200, { "Content-Type": metrics.contentType }).end(text),
          (error: unknown) => response.destroy(error instanceof Error ? error : undefined),
        );
      }
    });
  }

  /** Binds the port; resolves to the address that it has. */
  async listen(address: HostPort): Promise<HostPort> {
    const server = this.#server;
    await new Promise<void>((resolve, reject) => {
      const fail = (error: NodeJS.ErrnoException): void => {
        const reason = error.code === "EADDRINUSE" ? "address already in use" : error.message;
        reject(new Error(`server listen: ${formatHostPort(address)}: ${reason}`, { cause: error }));
      };
      server.once("error", fail);
      server.listen({ port: address.port, ...(address.host === "" ? {} : { host: address.host }) }, () => {
        server.off("error", fail);
        resolve();
      });
    });
    const bound = server.address();
    if (bound === null || typeof bound === "string") throw new Error("server listen: no address");
    return { host: bound.address, port: bound.port };
  }

  /** Ends at once, open connections included. */
  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
