// Histograms in plain arrays: an observation is a short search and two additions.

import type { Labels, Sample } from "./metrics.js";

/** Upper bounds of latencies, in seconds. */
export const LATENCY_BUCKETS: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** Upper bounds of sizes, in bytes. */
export const SIZE_BUCKETS: readonly number[] = [
  256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304,
];

/** One series of a histogram. */
export class Histogram {
  readonly #bounds: readonly number[];
  /** Observations by the first bound that they don't exceed; the last count is for those above all bounds. */
  readonly #counts: Float64Array;
  #sum = 0;
  #count = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  /** Number of observations. */
  get count(): number {
    return this.#count;
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let index = 0;
    while (index < bounds.length && value > (bounds[index] as number)) index += 1;
    this.#counts[index] = (this.#counts[index] as number) + 1;
    this.#sum += value;
    this.#count += 1;
  }

  /** The samples that Prometheus expects: cumulative buckets, sum and count. */
  *samples(name: string, labels: Labels): Iterable<Sample> {
    const bucket = `${name}_bucket`;
    let below = 0;
    for (const [index, bound] of this.#bounds.entries()) {
      below += this.#counts[index] ?? 0;
      yield { metricName: bucket, labels, le: formatBound(bound), value: below };
    }
    yield { metricName: bucket, labels, le: "+Inf", value: this.#count };
    yield { metricName: `${name}_sum`, labels, value: this.#sum };
    yield { metricName: `${name}_count`, labels, value: this.#count };
  }
}

/** A bound as Go prints it in the label `le`: with an exponent from a million on. */
function formatBound(bound: number): string {
  if (bound < 1e6) return String(bound);
  const [digits, exponent = ""] = bound.toExponential().split("e+");
  return `${digits}e+${exponent.padStart(2, "0")}`;
}
