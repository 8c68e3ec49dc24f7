// The upstreams of a benchmark: tunnels of the SDK, all of them to one HTTP server in this process that answers each
// request with its own body.

import { createServer } from "node:http";
import { type Listener, listen } from "@piko/client";
import type { Logger } from "../observability/logger.js";

/** Where the upstreams connect to, and how many there are. */
export interface EchoUpstreamsOptions {
  /** Base URL of the upstream port. */
  readonly url: string;
  /** Time to connect one. */
  readonly timeoutMs: number;
  readonly endpointIds: readonly string[];
  /** Spread evenly over the endpoints. */
  readonly count: number;
  /** Told of every tunnel; a hundred of them are too many for most people. */
  readonly logger: Logger | undefined;
  readonly signal: AbortSignal;
}

/** Tunnels that are opened at once: each is a handshake, and servers limit those that are in progress. */
const CONCURRENCY = 32;

export class EchoUpstreams {
  readonly #listeners: Listener[] = [];
  readonly #server = createServer((request, response) => {
    response.writeHead(200, { "content-length": request.headers["content-length"] ?? 0 });
    request.pipe(response);
  });

  /** Connects all. Rejects when one can't connect; those that are open have to be closed then too. */
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

  /** Closes all at once. */
  async close(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.close({ graceMs: 0 })));
    this.#server.closeAllConnections();
  }
}
