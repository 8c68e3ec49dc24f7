// Metrics of tunnels and of the requests that are sent to them (contract names piko_upstreams_*).

import type { TunnelError } from "@piko/tunnel";
import type { LimitCounters } from "../../net/limit-counters.js";
import type { Metrics } from "../../observability/metrics.js";
import type { Upstreams } from "./upstreams.js";

/** Limits of the upstream port and of its tunnels; values of the label `limit` of piko_upstreams_limited_total. */
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

/** Timeouts of single agents; further values of the label. */
export const AGENT_LIMITS = ["read_header_timeout", "ping_timeout", "open_timeout"] as const;

export type UpstreamLimit =
  | (typeof UPSTREAM_LIMITS)[number]
  | (typeof TENANT_LIMITS)[number]
  | (typeof AGENT_LIMITS)[number];

/** How tunnels end; values of the label `reason` of piko_upstreams_closed_total. */
export const TUNNEL_ENDS = ["closed", "eof", "reset", "ping_timeout", "open_timeout", "protocol"] as const;

export type TunnelEnd = (typeof TUNNEL_ENDS)[number];

/** Maps the error with which a tunnel ended to the label. */
export function tunnelEnd(error: TunnelError | undefined): TunnelEnd {
  switch (error?.code) {
    case undefined:
      return "closed";
    case "PIKO_TUNNEL_EOF":
      return "eof";
    case "PIKO_TUNNEL_SOCKET":
      return "reset";
    case "PIKO_YAMUX_KEEPALIVE":
      return "ping_timeout";
    case "PIKO_YAMUX_OPEN_TIMEOUT":
      return "open_timeout";
    default:
      return "protocol";
  }
}

/** How waits for an upstream end; values of the label `result` of piko_upstreams_waits_total. */
export const WAIT_RESULTS = ["found", "expired", "left"] as const;

export type WaitResult = (typeof WAIT_RESULTS)[number];

export class UpstreamMetrics {
  /** Tunnels that were opened, and those that have ended, by reason. */
  opened = 0;
  readonly closed: Record<TunnelEnd, number> = countsOf(TUNNEL_ENDS);
  /** Waits that have ended, by result. */
  readonly waited: Record<WaitResult, number> = countsOf(WAIT_RESULTS);
  readonly limits: LimitCounters<UpstreamLimit>;
  /** Requests and TCP connections that were sent to a tunnel of this node. */
  requests = 0;
  /** Requests that were retried after their upstream was lost. */
  retries = 0;

  constructor(metrics: Metrics, upstreams: Upstreams, limits: LimitCounters<UpstreamLimit>) {
    this.limits = limits;
    metrics.gauge(
      "piko_upstreams_connected_upstreams",
      "Number of upstreams connected to this node",
      () => upstreams.tunnelCount,
    );
    metrics.counter(
      "piko_upstreams_opened_total",
      "Number of upstreams connected since the start",
      () => this.opened,
    );
    metrics.labeled(
      "counter",
      "piko_upstreams_closed_total",
      "Number of upstreams disconnected since the start, by how their connections ended",
      "reason",
      () => Object.entries(this.closed),
    );
    metrics.gauge(
      "piko_upstreams_draining_upstreams",
      "Number of draining upstreams",
      () => upstreams.drainingCount,
    );
    metrics.gauge(
      "piko_upstreams_doubtful_upstreams",
      "Number of upstreams whose agents leave streams or pings unanswered",
      () => upstreams.doubtfulCount,
    );
    metrics.counter(
      "piko_upstreams_doubts_total",
      "Number of times that an upstream became doubtful",
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
      "Number of requests retried because their upstream was lost",
      () => this.retries,
    );
    metrics.gauge(
      "piko_upstreams_waiting_requests",
      "Number of requests waiting for an upstream to reconnect",
      () => upstreams.waits.count,
    );
    metrics.labeled(
      "counter",
      "piko_upstreams_waits_total",
      "Number of times that a request waited for an upstream to reconnect, by result: one came, none did, or the client disconnected",
      "result",
      () => Object.entries(this.waited),
    );
    metrics.gauge(
      "piko_upstreams_open_streams",
      "Number of streams of all tunnels",
      () => upstreams.streamCount,
    );
    metrics.gauge(
      "piko_upstreams_busiest_tunnel_streams",
      "Number of streams of the tunnel with the most",
      () => upstreams.highestStreamCount,
    );
    metrics.gauge(
      "piko_upstreams_busiest_endpoint_requests",
      "Number of requests in progress of the endpoint with the most",
      () => upstreams.highestRequestCount,
    );
  }
}

function countsOf<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
}
