// The five metrics of requests: `piko_proxy_*` on the server and `piko_agent_*` in the agent. Series are found by status and
// method without building a key. Whatever clients choose, the number of series is limited.

import { ALL_REASONS, type Reason } from "../http/reasons.js";
import { Histogram, LATENCY_BUCKETS, SIZE_BUCKETS } from "./histogram.js";
import type { Labels, Metrics, Sample } from "./metrics.js";

const METHODS = [
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
  "CONNECT",
  "TRACE",
  "OTHER",
] as const;
const OTHER = METHODS.indexOf("OTHER");

/** Statuses that have their own series: those registered for HTTP, and nginx's 499. */
const KNOWN_STATUSES: readonly number[] = [
  ...[100, 101, 102, 103],
  ...[200, 201, 202, 203, 204, 205, 206, 207, 208, 226],
  ...[300, 301, 302, 303, 304, 305, 307, 308],
  ...[400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418],
  ...[421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499],
  ...[500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511],
];
/** Other statuses share one series per class: services must not be able to add series without limit. */
const STATUS_CLASSES = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"] as const;
/** Values of the label `status`, by place. */
const STATUS_LABELS: readonly string[] = [...KNOWN_STATUSES.map(String), ...STATUS_CLASSES];
/** Places in {@link STATUS_LABELS}, by status. */
const STATUS_PLACES: Uint8Array = Uint8Array.from({ length: 600 }, (_, status) => {
  const known = KNOWN_STATUSES.indexOf(status);
  if (known >= 0) return known;
  const row = Math.floor(status / 100) - 1;
  return KNOWN_STATUSES.length + (row < 0 ? STATUS_CLASSES.indexOf("other") : row);
});
const OTHER_STATUS = STATUS_LABELS.indexOf("other");

/** A method's place among the values of the label; unknown methods share one. */
export function methodIndex(method: string): number {
  switch (method) {
    case "GET":
      return 0;
    case "HEAD":
      return 1;
    case "POST":
      return 2;
    case "PUT":
      return 3;
    case "PATCH":
      return 4;
    case "DELETE":
      return 5;
    case "OPTIONS":
      return 6;
    case "CONNECT":
      return 7;
    case "TRACE":
      return 8;
    default:
      return OTHER;
  }
}

/** Counts the requests of one proxy or one listener. */
export class RequestMetrics {
  readonly labels: Labels;
  /** Requests in progress. */
  inFlight = 0;
  readonly requestSize: Histogram = new Histogram(SIZE_BUCKETS);
  /** Time from sending a request to an upstream until its response head. */
  readonly upstreamLatency: Histogram = new Histogram(LATENCY_BUCKETS);
  readonly responseSize: Histogram = new Histogram(SIZE_BUCKETS);
  /** Failed requests, by the place of the reason. */
  readonly failures: Float64Array = new Float64Array(ALL_REASONS.length);
  /** By status and method; created when first needed. */
  readonly #latencies: Map<number, Histogram> = new Map();

  constructor(labels: Labels) {
    this.labels = labels;
  }

  /** A request begins. */
  begin(): void {
    this.inFlight += 1;
  }

  /** What began turns out not to be a request. */
  abandon(): void {
    this.inFlight -= 1;
  }

  /** A request ends; `status` is what the client got. `requestBytes` includes the head, `responseBytes` counts only the body. */
  end(
    status: number,
    method: string | number,
    latencySeconds: number,
    requestBytes: number,
    responseBytes: number,
  ): void {
    this.inFlight -= 1;
    const place = STATUS_PLACES[status] ?? OTHER_STATUS;
    const index = place * METHODS.length + (typeof method === "number" ? method : methodIndex(method));
    let latency = this.#latencies.get(index);
    if (latency === undefined) {
      latency = new Histogram(LATENCY_BUCKETS);
      this.#latencies.set(index, latency);
    }
    latency.observe(latencySeconds);
    this.requestSize.observe(requestBytes);
    this.responseSize.observe(responseBytes);
  }

  /** Counts the failure of a request that ends. */
  fail({ place }: Reason): void {
    this.failures[place] = (this.failures[place] as number) + 1;
  }

  /** Every combination of status and method seen, with its latencies. */
  *series(): Iterable<{ readonly labels: Labels; readonly latency: Histogram }> {
    for (const [index, latency] of this.#latencies) {
      const status = STATUS_LABELS[Math.floor(index / METHODS.length)] ?? "other";
      const method = METHODS[index % METHODS.length] ?? "OTHER";
      yield { labels: { status, method, ...this.labels }, latency };
    }
  }
}

/** The request metrics of a registry, for one proxy or for many listeners with their own labels. */
export class RequestMetricsFamily {
  readonly #members: RequestMetrics[] = [];

  /**
   * @param prefix `piko_proxy` or `piko_agent`
   * @param own names of the members' labels
   */
  constructor(metrics: Metrics, prefix: string, own: readonly string[] = []) {
    const each = function* (
      members: readonly RequestMetrics[],
      read: (of: RequestMetrics) => Iterable<Sample>,
    ) {
      for (const member of members) yield* read(member);
    };
    const histogram = (name: string, help: string, pick: (of: RequestMetrics) => Histogram): void => {
      const read = (): Iterable<Sample> => each(this.#members, (of) => pick(of).samples(name, of.labels));
      metrics.add({ name, help, type: "histogram", labels: own, read });
    };
    metrics.add({
      name: `${prefix}_requests_in_flight`,
      help: "Number of requests in progress",
      type: "gauge",
      labels: own,
      read: () => each(this.#members, (of) => [{ labels: of.labels, value: of.inFlight }]),
    });
    metrics.add({
      name: `${prefix}_requests_total`,
      help: "Number of requests served, by status and method",
      type: "counter",
      labels: ["status", "method", ...own],
      read: () =>
        each(this.#members, (of) =>
          [...of.series()].map(({ labels, latency }) => ({ labels, value: latency.count })),
        ),
    });
    metrics.add({
      name: `${prefix}_failed_requests_total`,
      help: "Number of failed requests, by reason; responses of services with an error status don't count",
      type: "counter",
      labels: ["reason", ...own],
      read: () =>
        each(this.#members, ({ failures, labels }) =>
          ALL_REASONS.map(({ code, place }) => ({
            labels: { reason: code, ...labels },
            value: failures[place] ?? 0,
          })),
        ),
    });
    const latency = `${prefix}_request_latency_seconds`;
    metrics.add({
      name: latency,
      help: "Time to serve a request, by status and method",
      type: "histogram",
      labels: ["status", "method", ...own],
      read: () =>
        each(this.#members, (of) =>
          [...of.series()].flatMap((one) => [...one.latency.samples(latency, one.labels)]),
        ),
    });
    histogram(
      `${prefix}_upstream_latency_seconds`,
      prefix === "piko_agent"
        ? "Time from sending a request to the service until its response head"
        : "Time from sending a request to an agent or a node until its response head",
      (of) => of.upstreamLatency,
    );
    histogram(`${prefix}_request_size_bytes`, "Size of requests", (of) => of.requestSize);
    histogram(`${prefix}_response_size_bytes`, "Size of responses", (of) => of.responseSize);
  }

  /** Adds a member with its own labels, such as the endpoint; without labels there can be only one. */
  child(labels: Labels = {}): RequestMetrics {
    const member = new RequestMetrics(labels);
    this.#members.push(member);
    return member;
  }
}
