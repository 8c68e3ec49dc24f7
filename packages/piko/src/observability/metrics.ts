// What /metrics shows. Each server or agent has one registry of its own; numbers stay where they are counted and are
// read when somebody asks, so counting costs an addition.

import { systemClock } from "@piko/tunnel";
import { Registry } from "prom-client";
import { createProcessRegistry } from "./process-metrics.js";

/** Labels of a series. */
export type Labels = Readonly<Record<string, string>>;

/** One number of a metric. */
export interface Sample {
  /** Cheapest when samples that have the same labels have the same object. */
  readonly labels: Labels;
  /** A further label, `le`: the bound of a histogram's bucket. */
  readonly le?: string;
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
  readonly #sources = new Map<string, MetricSource>();
  #process: Registry | undefined;

  /** Adds the metrics of the process and of Node: memory, CPU, event loop, garbage collection; and how it stood still. */
  addProcessMetrics(): void {
    this.#process = createProcessRegistry();
    this.counter(
      "piko_process_stood_still_total",
      "How often this process stood still for more than a second",
      () => systemClock.pauses,
    );
    this.counter(
      "piko_process_stood_still_seconds_total",
      "How long this process stood still in all, of times of more than a second",
      () => systemClock.stoodStillMs / 1_000,
    );
  }

  /** Adds a metric; a name can be added once. */
  add(source: MetricSource): void {
    if (this.#sources.has(source.name)) throw new Error(`metric ${source.name} is there already`);
    this.#sources.set(source.name, source);
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
    return Registry.PROMETHEUS_CONTENT_TYPE;
  }

  /** All metrics in the Prometheus text format. */
  async text(): Promise<string> {
    const process = (await this.#process?.metrics()) ?? "";
    return process + [...this.#sources.values()].map(formatMetric).join("");
  }
}

/** Cheaper than prom-client's own text: a scrape stops everything else for as long as it lasts. */
function formatMetric({ name, help, type, read }: MetricSource): string {
  let text = `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
  let last: Labels | undefined;
  let lastText = "";
  for (const { labels, le, metricName = name, value } of read()) {
    if (labels !== last) {
      last = labels;
      lastText = formatLabels(labels);
    }
    const comma = lastText === "" ? "" : ",";
    const all = le === undefined ? lastText : `${lastText}${comma}le="${le}"`;
    text +=
      all === "" ? `${metricName} ${formatValue(value)}\n` : `${metricName}{${all}} ${formatValue(value)}\n`;
  }
  return text;
}

function formatLabels(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escapeLabel(value)}"`)
    .join(",");
}

function escapeLabel(value: string): string {
  return /[\\"\n]/.test(value)
    ? value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")
    : value;
}

function formatValue(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}
