// An agent's counters for one endpoint.

import type { RequestMetrics } from "../observability/request-metrics.js";

/** Shared by all listeners of an endpoint; kept when these are closed. */
export interface EndpointCounts {
  readonly requests: RequestMetrics;
  /** Number of tunnels opened. */
  opened: number;
  /** Attempts to reconnect to the server after the last tunnel was lost. */
  reconnects: number;
}
