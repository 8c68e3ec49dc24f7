// What /metrics shows. Each server or agent has its own registry. Numbers stay where they are counted and are read on demand, so
// that counting costs one addition.

/** Labels of a series. */
export type Labels = Readonly<Record<string, string>>;

/** One number of a metric. */
export interface Sample {
  /** Cheapest if samples with the same labels share one object. */
  readonly labels: Labels;
  /** The additional label `le`: the upper bound of a histogram's bucket. */
  readonly le?: string;
  readonly value: number;
  /** The name if it differs from the metric's, such as `..._bucket`. */
  readonly metricName?: string;
}

/** A metric that is read on demand. */
export interface MetricSource {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** Names of the labels of its series; none by default. */
  readonly labels?: readonly string[];
  readonly read: () => Iterable<Sample>;
}

/** A registry of metrics. */
export class Metrics {
  readonly #sources = new Map<string, MetricSource>();

  /** Adds a metric. Throws if the name exists. */
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
  labeled(
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
      labels: [label],
      read: () => [...read()].map(([key, value]) => ({ labels: { [label]: key }, value })),
    });
  }

  /** All metrics, sorted by name. */
  list(): readonly Omit<MetricSource, "read">[] {
    return [...this.#sources.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** All metrics in the Prometheus text format, {@link METRICS_TYPE}. */
  text(): string {
    return [...this.#sources.values()].map(formatMetric).join("");
  }
}

/** Content-Type of the text. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** A scrape blocks everything else while it lasts, so repeated labels aren't formatted again. */
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
