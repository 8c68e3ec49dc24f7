// The admin port of a node: probes, metrics and status, of this node or (with ?forward=) of another one.

import type { HostPort } from "../../base/address.js";
import { metricsRoute, type Route, RouteServer } from "../../net/route-server.js";
import type { Logger } from "../../observability/logger.js";
import type { Metrics } from "../../observability/metrics.js";
import type { Cluster } from "../cluster/cluster.js";
import type { Upstreams } from "../upstream/upstreams.js";
import { AdminForward } from "./forward.js";
import { StatusPages } from "./status-pages.js";

export interface AdminPortOptions {
  readonly metrics: Metrics;
  readonly upstreams: Upstreams;
  readonly logger: Logger;
  /** Whether the node should get requests. */
  readonly isReady: () => boolean;
}

export class AdminPort {
  readonly #upstreams: Upstreams;
  readonly #logger: Logger;
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #server: RouteServer;
  #status: StatusPages | undefined;
  #forward: AdminForward | undefined;

  constructor({ metrics, upstreams, logger, isReady }: AdminPortOptions) {
    this.#upstreams = upstreams;
    this.#logger = logger;
    this.#routes = new Map<string, Route>([
      ["/health", (response) => void response.writeHead(200).end()],
      ["/ready", (response) => void response.writeHead(isReady() ? 200 : 503).end()],
      ["/metrics", metricsRoute(metrics)],
    ]);
    this.#server = new RouteServer({
      name: "admin",
      logger,
      find: (path) => this.#routes.get(path) ?? this.#status?.find(path),
      intercept: (request, response) => this.#forward?.answer(request, response) ?? false,
    });
  }

  /** Binds the port; resolves to the address that it has. */
  listen(address: HostPort, cluster: Cluster): Promise<HostPort> {
    this.#status = new StatusPages(cluster, this.#upstreams);
    this.#forward = new AdminForward(cluster, this.#logger);
    return this.#server.listen(address);
  }

  /** Ends at once, open connections included. */
  close(): void {
    this.#server.close();
  }
}
