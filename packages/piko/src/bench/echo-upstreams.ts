// The upstreams of a benchmark: tunnels of the SDK, all to one HTTP server in this process that answers each request with the
// request's body.

import { createServer } from "node:http";
import { type Listener, listen } from "@piko/client";
import type { Logger } from "../observability/logger.js";

/** Where the upstreams connect, and how many there are. */
export interface EchoUpstreamsOptions {
  /** Base URL of the upstream port. */
  readonly url: string;
  /** Timeout to connect one. */
  readonly timeoutMs: number;
  readonly endpointIds: readonly string[];
  /** Spread evenly over the endpoints. */
  readonly count: number;
  /** Logs every tunnel. Usually undefined, because there may be a hundred of them. */
  readonly logger: Logger | undefined;
  readonly signal: AbortSignal;
}

/** Tunnels that are opened at the same time: each needs a handshake, and servers limit the number of those in progress. */
const CONCURRENCY = 32;

export class EchoUpstreams {
  readonly #listeners: Listener[] = [];
  readonly #server = createServer((request, response) => {
    response.writeHead(200, { "content-length": request.headers["content-length"] ?? 0 });
    request.pipe(response);
  });

  /** Connects all. Rejects if one can't connect; `close` must be called even then. */
  async connect({ url, timeoutMs, endpointIds, count, logger, signal }: EchoUpstreamsOptions): Promise<void> {
    let next = 0;
    const connectSome = async (): Promise<void> => {
      while (next < count && !signal.aborted) {
        const endpointId = endpointIds[next++ % endpointIds.length] as string;
        const listener = await listen(endpointId, { url, connectTimeoutMs: timeoutMs, tunnels: 1, logger });
        this.#listeners.push(listener.attach(this.#server));
      }
    };
    await Promise.all(Array.from({ length: Math.min(CONCURRENCY, count) }, connectSome));
  }

  /** Closes all immediately. */
  async close(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.close({ graceMs: 0 })));
    this.#server.closeAllConnections();
  }
}
