// An agent's metrics: its requests, its listeners, and how often they had to reconnect.

import { addBuildInfo } from "../observability/build-info.js";
import { Metrics } from "../observability/metrics.js";
import { RequestMetricsFamily } from "../observability/request-metrics.js";
import type { EndpointCounts } from "./endpoint-counts.js";
import type { Listener } from "./listener.js";

/** The part of a listener that metrics and status show. */
export type ShownListener = Pick<Listener, "config" | "connected" | "healthy" | "tunnels">;

export class AgentMetrics {
  readonly metrics: Metrics = new Metrics();
  readonly #requests: RequestMetricsFamily;
  readonly #byEndpoint = new Map<string, EndpointCounts>();

  /** @param listeners returns the current ones; called whenever the metrics are read */
  constructor(version: string, listeners: () => readonly ShownListener[]) {
    const { metrics } = this;
    addBuildInfo(metrics, { version });
    this.#requests = new RequestMetricsFamily(metrics, "piko_agent", ["endpoint"]);
    const ofListeners = (name: string, help: string, read: (listener: ShownListener) => number): void =>
      metrics.labeled("gauge", name, help, "endpoint", () => {
        const sums = new Map<string, number>();
        for (const listener of listeners()) {
          const { endpointId } = listener.config;
          sums.set(endpointId, (sums.get(endpointId) ?? 0) + read(listener));
        }
        return sums;
      });
    ofListeners("piko_agent_tunnels", "Number of open tunnels to nodes", ({ tunnels }) => tunnels.open);
    ofListeners(
      "piko_agent_connected",
      "Number of listeners that have a tunnel and a healthy service",
      (of) => (of.connected ? 1 : 0),
    );
    const counted = (name: string, help: string, read: (counts: EndpointCounts) => number): void =>
      metrics.labeled("counter", name, help, "endpoint", () =>
        [...this.#byEndpoint].map(([endpointId, counts]) => [endpointId, read(counts)] as const),
      );
    counted("piko_agent_tunnels_opened_total", "Number of tunnels opened", ({ opened }) => opened);
    counted(
      "piko_agent_reconnects_total",
      "Number of attempts to reconnect to the server when no tunnel was left",
      ({ reconnects }) => reconnects,
    );
  }

  /** The counters of an endpoint. */
  of(endpointId: string): EndpointCounts {
    let counts = this.#byEndpoint.get(endpointId);
    if (counts === undefined) {
      counts = { requests: this.#requests.child({ endpoint: endpointId }), opened: 0, reconnects: 0 };
      this.#byEndpoint.set(endpointId, counts);
    }
    return counts;
  }
}
