// Numbers about tunnels and what is sent to them (contract names piko_upstreams_*).

import type { LimitCounters } from "../../net/limit-counters.js";
import type { Metrics } from "../../observability/metrics.js";
import type { Upstreams } from "./upstreams.js";

/** Limits of the upstream port and of its tunnels; a value of the label `limit` of piko_upstreams_limited_total. */
export const UPSTREAM_LIMITS = [
  "max_tunnels",
  "max_tunnels_per_endpoint",
  "max_tunnels_per_client",
  "max_streams_per_tunnel",
  "max_pending_connections",
  "open_files",
] as const;

/** Limits of single tenants; further values of the label. */
export const TENANT_LIMITS = ["tenant_max_tunnels", "tenant_max_endpoints"] as const;

/** Time limits of single agents; further values of the label. */
export const AGENT_LIMITS = ["read_header_timeout", "ping_timeout", "open_timeout"] as const;

export type UpstreamLimit =
  | (typeof UPSTREAM_LIMITS)[number]
  | (typeof TENANT_LIMITS)[number]
  | (typeof AGENT_LIMITS)[number];

export class UpstreamMetrics {
  readonly limits: LimitCounters<UpstreamLimit>;
  /** Requests and TCP connections that were sent to a tunnel of this node. */
  requests = 0;
  /** Requests that were sent again after their upstream was lost. */
  retries = 0;

  constructor(metrics: Metrics, upstreams: Upstreams, limits: LimitCounters<UpstreamLimit>) {
    this.limits = limits;
    metrics.gauge(
      "piko_upstreams_connected_upstreams",
      "Number of upstreams connected to this node",
      () => upstreams.tunnelCount,
    );
    metrics.gauge(
      "piko_upstreams_draining_upstreams",
      "Number of upstreams that are about to leave this node",
      () => upstreams.drainingCount,
    );
    metrics.gauge(
      "piko_upstreams_doubtful_upstreams",
      "Number of upstreams whose agents leave streams or pings unanswered",
      () => upstreams.doubtfulCount,
    );
    metrics.counter(
      "piko_upstreams_doubts_total",
      "Number of times that an upstream has become doubtful",
      () => upstreams.doubts,
    );
    metrics.gauge(
      "piko_upstreams_registered_endpoints",
      "Number of endpoints with an upstream on this node",
      () => upstreams.endpointCount,
    );
    metrics.counter(
      "piko_upstreams_upstream_requests_total",
      "Number of requests sent to an upstream of this node",
      () => this.requests,
    );
    metrics.counter(
      "piko_upstreams_retries_total",
      "Number of requests sent again because their upstream was lost",
      () => this.retries,
    );
    metrics.gauge(
      "piko_upstreams_waiting_requests",
      "Number of requests that wait for an upstream to come back",
      () => upstreams.waits.count,
    );
    metrics.gauge(
      "piko_upstreams_open_streams",
      "Number of streams of all tunnels",
      () => upstreams.streamCount,
    );
    metrics.gauge(
      "piko_upstreams_busiest_tunnel_streams",
      "Number of streams of the tunnel that has most",
      () => upstreams.highestStreamCount,
    );
    metrics.gauge(
      "piko_upstreams_busiest_endpoint_requests",
      "Number of requests in flight of the endpoint that has most",
      () => upstreams.highestRequestCount,
    );
  }
}
