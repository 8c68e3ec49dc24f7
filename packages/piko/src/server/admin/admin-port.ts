// The admin port of a node: probes, metrics and status, of this node or (with ?forward=) of another one.

import type { Clock } from "@piko/tunnel";
import type { HostPort } from "../../base/address.js";
import { createRouteLimits, metricsRoute, type Route, RouteServer, send } from "../../net/route-server.js";
import type { Logger } from "../../observability/logger.js";
import type { Metrics } from "../../observability/metrics.js";
import type { Cluster } from "../cluster/cluster.js";
import type { Upstreams } from "../upstream/upstreams.js";
import { AdminForward } from "./forward.js";
import { Profiles } from "./profiles.js";
import { StatusPages } from "./status-pages.js";

export interface AdminPortOptions {
  readonly metrics: Metrics;
  readonly upstreams: Upstreams;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
  readonly cluster: Cluster;
  /** Whether the node should get requests. */
  readonly isReady: () => boolean;
  /** Whether nobody gets in without a token, so that there may be profiles. */
  readonly authenticated: boolean;
}

export class AdminPort {
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #server: RouteServer;

  constructor({
    metrics,
    cluster,
    upstreams,
    logger,
    clock,
    wallNow,
    isReady,
    authenticated,
  }: AdminPortOptions) {
    const status = new StatusPages(cluster, upstreams, wallNow);
    const profiles = authenticated ? new Profiles(clock) : undefined;
    const forward = new AdminForward(cluster, logger);
    this.#routes = new Map<string, Route>([
      ["/health", (response) => send(response, 200)],
      ["/ready", (response) => send(response, isReady() ? 200 : 503)],
      ["/metrics", metricsRoute(metrics)],
    ]);
    this.#server = new RouteServer({
      name: "admin",
      logger,
      limits: createRouteLimits(metrics, "piko_admin_limited_total", "admin", logger, clock),
      find: (path) => this.#routes.get(path) ?? status.find(path) ?? profiles?.find(path),
      intercept: (request, response) => forward.answer(request, response),
    });
  }

  /** Binds the port; resolves to the address that it has. */
  listen(address: HostPort): Promise<HostPort> {
    return this.#server.listen(address);
  }

  /** Ends at once, open connections included. */
  close(): void {
    this.#server.close();
  }
}
