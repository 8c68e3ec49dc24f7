// Metrics of a node's limits: how often each was reached, and the current use.

import type { Clock } from "@piko/tunnel";
import type { ByteBudget } from "../net/byte-budget.js";
import { LimitCounters } from "../net/limit-counters.js";
import type { Logger } from "../observability/logger.js";
import type { Metrics } from "../observability/metrics.js";
import { CLIENT_LIMITS, PROXY_CAPACITIES, type ProxyLimit } from "./exchange/proxy-limits.js";
import type { ProxyPort } from "./clients/proxy-port.js";
import {
  AGENT_LIMITS,
  TENANT_LIMITS,
  UPSTREAM_LIMITS,
  type UpstreamLimit,
} from "./upstream/upstream-metrics.js";
import type { Rebalancer } from "./upstream/rebalancer.js";
import type { UpstreamPort } from "./upstream/upstream-port.js";

/** Counters of the proxy port's limits. */
export function createProxyLimits(metrics: Metrics, logger: Logger, clock: Clock): LimitCounters<ProxyLimit> {
  return new LimitCounters<ProxyLimit>({
    metrics,
    metric: "piko_proxy_limited_total",
    help: "Number of connections and requests refused or ended by a limit",
    capacities: PROXY_CAPACITIES,
    others: CLIENT_LIMITS,
    section: "proxy.limits",
    logger: logger.subsystem("proxy"),
    clock,
  });
}

/** Counters of the upstream port's limits. */
export function createUpstreamLimits(
  metrics: Metrics,
  logger: Logger,
  clock: Clock,
): LimitCounters<UpstreamLimit> {
  return new LimitCounters<UpstreamLimit>({
    metrics,
    metric: "piko_upstreams_limited_total",
    help: "Number of tunnels, connections and requests refused or ended by a limit of the upstream port",
    capacities: UPSTREAM_LIMITS,
    others: [...TENANT_LIMITS, ...AGENT_LIMITS],
    section: "upstream.limits",
    logger: logger.subsystem("upstream"),
    clock,
  });
}

/** The parts of a node whose current use is reported. */
export interface LimitedParts {
  readonly proxy: ProxyPort;
  readonly rebalancer: Pick<Rebalancer, "shed">;
  readonly upstream: UpstreamPort;
  readonly budget: ByteBudget;
}

/** Adds gauges of current use. Those of tunnels are with the upstreams' metrics. */
export function addUseMetrics(metrics: Metrics, { proxy, rebalancer, upstream, budget }: LimitedParts): void {
  metrics.gauge("piko_proxy_connections", "Number of client connections", () => proxy.connectionCount);
  metrics.gauge(
    "piko_proxy_busiest_client_connections",
    "Number of connections of the client with the most",
    () => proxy.highestClientCount,
  );
  metrics.gauge(
    "piko_proxy_buffered_bytes",
    "Memory held for buffered bytes of requests and responses",
    () => budget.used,
  );
  metrics.gauge(
    "piko_proxy_max_buffered_bytes",
    "Maximum of piko_proxy_buffered_bytes (proxy.limits.max_buffered_bytes)",
    () => budget.maxBytes,
  );
  metrics.gauge(
    "piko_upstreams_pending_connections",
    "Number of connections to the upstream port that aren't a tunnel yet",
    () => upstream.pendingCount,
  );
  metrics.gauge(
    "piko_upstreams_busiest_client_connections",
    "Number of connections to the upstream port, including tunnels, of the address with the most",
    () => upstream.highestClientCount,
  );
  metrics.counter(
    "piko_upstreams_shed_total",
    "Number of upstreams asked to move because this node had more than the others",
    () => rebalancer.shed,
  );
}
