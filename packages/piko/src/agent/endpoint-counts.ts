// An agent's counters for one endpoint.

import type { RequestMetrics } from "../observability/request-metrics.js";

/** Listeners of the same endpoint share them, and they outlive these. */
export interface EndpointCounts {
  readonly requests: RequestMetrics;
  /** Tunnels that were opened. */
  opened: number;
  /** Attempts to get back to the server after the last tunnel was lost. */
  reconnects: number;
}
