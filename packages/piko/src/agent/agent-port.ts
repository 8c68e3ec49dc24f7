// The agent's own port: health, readiness, metrics, and the tunnels of its listeners.

import type { Clock } from "@piko/tunnel";
import {
  createRouteLimits,
  metricsRoute,
  type Route,
  RouteServer,
  send,
  sendJson,
} from "../net/route-server.js";
import type { Logger } from "../observability/logger.js";
import type { Metrics } from "../observability/metrics.js";
import type { Listener } from "./listener.js";

type ShownListener = Pick<Listener, "config" | "connected" | "healthy" | "tunnels">;

export interface AgentPortOptions {
  readonly metrics: Metrics;
  /** Those of now. */
  readonly listeners: () => readonly ShownListener[];
  /** Aborted when the agent stops: it isn't ready any more. */
  readonly stopping: AbortSignal;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** Creates the port, and adds what it measures to the metrics. */
export function createAgentPort(options: AgentPortOptions): RouteServer {
  const { clock, listeners, logger, metrics, stopping } = options;
  const isReady = (): boolean => !stopping.aborted && listeners().every(({ connected }) => connected);
  metrics.labelled("gauge", "piko_agent_tunnels", "Number of open tunnels to nodes", "endpoint", () => {
    const counts = new Map<string, number>();
    for (const { config, tunnels } of listeners()) {
      counts.set(config.endpointId, (counts.get(config.endpointId) ?? 0) + tunnels.open);
    }
    return counts;
  });
  const routes = new Map<string, Route>([
    ["/health", (response) => send(response, 200)],
    ["/ready", (response) => send(response, isReady() ? 200 : 503)],
    ["/metrics", metricsRoute(metrics)],
    ["/status", (response) => sendJson(response, { listeners: listeners().map(describe) })],
  ]);
  const limits = createRouteLimits(metrics, "piko_agent_server_limited_total", "server", logger, clock);
  return new RouteServer({ name: "server", logger, limits, find: (path) => routes.get(path) });
}

/** A listener, and to which nodes it has tunnels; null stands for a Go node. */
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
