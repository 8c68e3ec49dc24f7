// Numbers about tunnels and what is sent to them (contract names piko_upstreams_*).

import type { Metrics } from "../../observability/metrics.js";
import type { Upstreams } from "./upstreams.js";

export class UpstreamMetrics {
  /** Requests and TCP connections that were sent to a tunnel of this node. */
  requests = 0;
  /** Requests that were sent again after their upstream was lost. */
  retries = 0;

  constructor(metrics: Metrics, upstreams: Upstreams) {
    metrics.gauge(
      "piko_upstreams_connected_upstreams",
      "Number of upstreams connected to this node",
      () => upstreams.tunnelCount,
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
  }
}
