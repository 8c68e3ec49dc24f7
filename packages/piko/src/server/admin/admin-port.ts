// The admin port of a node: probes, metrics and status, of this node or (with ?forward=) of another one.

import type { Clock } from "@piko/tunnel";
import type { HostPort } from "../../base/address.js";
import { createRouteLimits, metricsRoute, type Route, RouteServer, send } from "../../net/route-server.js";
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
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
  /** Whether the node should get requests. */
  readonly isReady: () => boolean;
}

export class AdminPort {
  readonly #upstreams: Upstreams;
  readonly #logger: Logger;
  readonly #wallNow: () => number;
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #server: RouteServer;
  #status: StatusPages | undefined;
  #forward: AdminForward | undefined;

  constructor({ metrics, upstreams, logger, clock, wallNow, isReady }: AdminPortOptions) {
    this.#upstreams = upstreams;
    this.#wallNow = wallNow;
    this.#logger = logger;
    this.#routes = new Map<string, Route>([
      ["/health", (response) => send(response, 200)],
      ["/ready", (response) => send(response, isReady() ? 200 : 503)],
      ["/metrics", metricsRoute(metrics)],
    ]);
    this.#server = new RouteServer({
      name: "admin",
      logger,
      limits: createRouteLimits(metrics, "piko_admin_limited_total", "admin", logger, clock),
      find: (path) => this.#routes.get(path) ?? this.#status?.find(path),
      intercept: (request, response) => this.#forward?.answer(request, response) ?? false,
    });
  }

  /** Binds the port; resolves to the address that it has. */
  listen(address: HostPort, cluster: Cluster): Promise<HostPort> {
    this.#status = new StatusPages(cluster, this.#upstreams, this.#wallNow);
    this.#forward = new AdminForward(cluster, this.#logger);
    return this.#server.listen(address);
  }

  /** Ends at once, open connections included. */
  close(): void {
    this.#server.close();
  }
}
