// What /metrics shows. Each server or agent has one registry of its own; numbers stay where they are counted and are
// read when somebody asks, so counting costs an addition.

import { type Metric, Registry, collectDefaultMetrics } from "prom-client";

/** Labels of a series. */
export type Labels = Readonly<Record<string, string>>;

/** One number of a metric. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** Name when it isn't the metric's own, such as `..._bucket`. */
  readonly metricName?: string;
}

/** A metric that is read on demand. */
export interface MetricSource {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly read: () => Iterable<Sample>;
}

/** A registry of metrics. */
export class Metrics {
  readonly #registry: Registry = new Registry();

  /** Adds the metrics of the process and of Node: memory, CPU, event loop, garbage collection. */
  addProcessMetrics(): void {
    collectDefaultMetrics({ register: this.#registry });
  }

  /** Adds a metric; a name can be added once. */
  add(source: MetricSource): void {
    const { name, help, type, read } = source;
    const get = (): Promise<object> =>
      Promise.resolve({ name, help, type, aggregator: "sum", values: [...read()] });
    // The registry asks nothing more of a metric than this.
    this.#registry.registerMetric({ name, help, type, get } as unknown as Metric);
  }

  /** Adds a number that goes up and down. */
  gauge(name: string, help: string, read: () => number): void {
    this.add({ name, help, type: "gauge", read: () => [{ labels: {}, value: read() }] });
  }

  /** Adds a number that only goes up. */
  counter(name: string, help: string, read: () => number): void {
    this.add({ name, help, type: "counter", read: () => [{ labels: {}, value: read() }] });
  }

  /** Adds a number for each value of one label. */
  labelled(
    type: "counter" | "gauge",
    name: string,
    help: string,
    label: string,
    read: () => Iterable<readonly [string, number]>,
  ): void {
    this.add({
      name,
      help,
      type,
      read: () => [...read()].map(([key, value]) => ({ labels: { [label]: key }, value })),
    });
  }

  /** Content-Type of {@link text}. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All metrics in the Prometheus text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
