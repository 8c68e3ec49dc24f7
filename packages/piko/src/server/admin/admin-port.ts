// The admin port of a node: probes, metrics and status, of this node or (with ?forward=) of another one.

import type { Clock } from "@piko/tunnel";
import type { Authorizer } from "../../auth/authorizer.js";
import type { HostPort } from "../../base/address.js";
import { metricsRoute } from "../../net/metrics-route.js";
import { createRouteLimits, type Route, RouteServer, type RouteTls, send } from "../../net/route-server.js";
import type { TlsAcceptor } from "../../net/accept/tls-acceptor.js";
import { TlsOnPlainPort } from "../../net/accept/tls-on-plain-port.js";
import type { Logger } from "../../observability/logger.js";
import type { Metrics } from "../../observability/metrics.js";
import type { Cluster } from "../cluster/cluster.js";
import type { Upstreams } from "../upstream/upstreams.js";
import { AdminGuard } from "./admin-guard.js";
import { frontPage } from "./front-page.js";
import { Profiles } from "./profiles.js";
import { AdminForward, type AdminTls } from "./forward.js";
import { StatusPages } from "./status-pages.js";

export interface AdminPortOptions {
  /** The authorizer of requests. */
  readonly auth: Authorizer;
  /** Whether `/health` and `/ready` are answered without a token. */
  readonly exemptProbes: boolean;
  readonly metrics: Metrics;
  readonly upstreams: Upstreams;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
  readonly cluster: Cluster;
  /** Whether the node should get requests. */
  readonly isReady: () => boolean;
  /** Undefined for a plain port. */
  readonly tls: RouteTls | undefined;
  /** TLS of connections to other nodes' admin ports; undefined for plain connections. */
  readonly dialTls: AdminTls | undefined;
}

export class AdminPort {
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #server: RouteServer;

  constructor(options: AdminPortOptions) {
    const { auth, clock, cluster, dialTls, exemptProbes, isReady, logger, metrics, tls, upstreams, wallNow } =
      options;
    const guard = new AdminGuard(auth, exemptProbes);
    const status = new StatusPages(cluster, upstreams, { clock, wallNow });
    // Profiles are never served without authentication.
    const profiles = auth.enabled ? new Profiles(clock) : undefined;
    const forward = new AdminForward(cluster, logger, { clock, tls: dialTls });
    this.#routes = new Map<string, Route>([
      ["/", frontPage(cluster.nodeId)],
      ["/health", (response) => send(response, 200)],
      ["/ready", (response) => send(response, isReady() ? 200 : 503)],
      ["/metrics", metricsRoute(metrics)],
    ]);
    const tlsOnPlainPort = new TlsOnPlainPort(logger, clock);
    this.#server = new RouteServer({
      name: "admin",
      logger,
      tls,
      limits: createRouteLimits(metrics, "piko_admin_limited_total", "admin", logger, clock),
      find: (path) => this.#routes.get(path) ?? status.find(path) ?? profiles?.find(path),
      guard: (request, response) => guard.admit(request, response),
      onTlsHandshake: (address) => tlsOnPlainPort.note(address),
      intercept: (request, response) => forward.answer(request, response),
    });
  }

  /** Binds the port; resolves to its address. */
  listen(address: HostPort): Promise<HostPort> {
    return this.#server.listen(address);
  }

  /** Undefined for a plain port. */
  get tls(): TlsAcceptor | undefined {
    return this.#server.tls;
  }

  /** Ends at once, open connections included. */
  close(): void {
    this.#server.close();
  }
}
