// The agent's own port: health, readiness, metrics, and the tunnels of its listeners.

import type { Clock } from "@piko/tunnel";
import { metricsRoute } from "../net/metrics-route.js";
import { createRouteLimits, type Route, RouteServer, send, sendJson } from "../net/route-server.js";
import type { Logger } from "../observability/logger.js";
import type { Metrics } from "../observability/metrics.js";
import type { ShownListener } from "./agent-metrics.js";

export interface AgentPortOptions {
  readonly metrics: Metrics;
  /** The current listeners. */
  readonly listeners: () => readonly ShownListener[];
  /** Aborted when the agent stops: from then on it isn't ready. */
  readonly stopping: AbortSignal;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** Creates the port, and adds metrics for how often its limits were reached. */
export function createAgentPort(options: AgentPortOptions): RouteServer {
  const { clock, listeners, logger, metrics, stopping } = options;
  const isReady = (): boolean => !stopping.aborted && listeners().every(({ connected }) => connected);
  const routes = new Map<string, Route>([
    ["/health", (response) => send(response, 200)],
    ["/ready", (response) => send(response, isReady() ? 200 : 503)],
    ["/metrics", metricsRoute(metrics)],
    ["/status", (response) => sendJson(response, { listeners: listeners().map(describe) })],
  ]);
  const limits = createRouteLimits(metrics, "piko_agent_server_limited_total", "server", logger, clock);
  return new RouteServer({ name: "server", logger, limits, find: (path) => routes.get(path) });
}

/** A listener, and the nodes that it has tunnels to; null is a Go node. */
function describe({ config, healthy, tunnels }: ShownListener): object {
  const { addr, endpointId, protocol } = config;
  const nodes = tunnels.nodeIds.map((id) => id ?? null);
  return {
    endpoint_id: endpointId,
    addr: addr.text,
    protocol,
    ...(healthy === undefined ? {} : { healthy }),
    tunnels: { open: tunnels.open, wanted: tunnels.wanted, nodes },
  };
}
