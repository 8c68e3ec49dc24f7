// Metrics per endpoint. Off by default: agents determine how many endpoints there are, and each adds about twenty series to every
// scrape.

import { Histogram, LATENCY_BUCKETS } from "./histogram.js";
import type { Labels, Metrics, Sample } from "./metrics.js";

const CLASSES: readonly string[] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/** The label of all endpoints above the limit, and of those that no one listens on, which clients can invent. */
const OTHER = "other";

class EndpointSeries {
  readonly labels: Labels;
  readonly statuses: Float64Array = new Float64Array(CLASSES.length);
  readonly latency: Histogram = new Histogram(LATENCY_BUCKETS);
  failures = 0;

  constructor(endpoint: string) {
    this.labels = { endpoint };
  }
}

/** What is counted for a request. */
export interface EndpointRequest {
  readonly endpointId: string;
  readonly status: number;
  readonly durationMs: number;
  /** Number of upstreams that the request was sent to. */
  readonly tries: number;
  /** Undefined if the request hasn't failed. */
  readonly reason: object | undefined;
}

export class EndpointMetrics {
  readonly #maxEndpoints: number;
  readonly #other: EndpointSeries = new EndpointSeries(OTHER);
  readonly #endpoints = new Map<string, EndpointSeries>();

  /** @param maxEndpoints how many endpoints get their own series: the first ones that are served */
  constructor(metrics: Metrics, maxEndpoints: number) {
    this.#maxEndpoints = maxEndpoints;
    const name = "piko_endpoint_request_latency_seconds";
    const labels = ["endpoint"];
    metrics.add({
      name: "piko_endpoint_requests_total",
      help: "Number of requests to an endpoint, by class of status",
      type: "counter",
      labels: [...labels, "status"],
      read: () =>
        this.#each((of) =>
          CLASSES.map((status, place) => ({
            labels: { ...of.labels, status },
            value: of.statuses[place] ?? 0,
          })),
        ),
    });
    metrics.add({
      name: "piko_endpoint_failed_requests_total",
      help: "Number of failed requests to an endpoint; responses of the service with an error status don't count",
      type: "counter",
      labels,
      read: () => this.#each((of) => [{ labels: of.labels, value: of.failures }]),
    });
    metrics.add({
      name,
      help: "Time to serve a request to an endpoint",
      type: "histogram",
      labels,
      read: () => this.#each((of) => of.latency.samples(name, of.labels)),
    });
  }

  /** Counts a request that has ended. */
  count({ durationMs, endpointId, reason, status, tries }: EndpointRequest): void {
    const of = this.#endpoints.get(endpointId) ?? this.#add(endpointId, tries);
    const place = Math.min(Math.max(Math.floor(status / 100), 1), CLASSES.length) - 1;
    of.statuses[place] = (of.statuses[place] as number) + 1;
    of.latency.observe(durationMs / 1_000);
    if (reason !== undefined) of.failures++;
  }

  #add(endpointId: string, tries: number): EndpointSeries {
    if (tries === 0 || endpointId === OTHER || this.#endpoints.size >= this.#maxEndpoints) return this.#other;
    const series = new EndpointSeries(endpointId);
    this.#endpoints.set(endpointId, series);
    return series;
  }

  *#each(read: (of: EndpointSeries) => Iterable<Sample>): Iterable<Sample> {
    for (const series of this.#endpoints.values()) yield* read(series);
    yield* read(this.#other);
  }
}
