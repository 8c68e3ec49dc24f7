// The results of a benchmark: latencies in a histogram of fixed size, and errors by kind.

import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import { formatDuration } from "../base/duration.js";

/** Maximum kinds of errors that are counted separately; a server can invent any number of texts. */
const MAX_KINDS = 32;
const OTHER = "other";

/** Counts requests by their outcome. */
export class BenchResults {
  /** Requests with the expected response. */
  succeeded = 0;
  failed = 0;
  readonly #latencies: RecordableHistogram = createHistogram();
  readonly #errors = new Map<string, number>();

  /** Requests that have ended. */
  get done(): number {
    return this.succeeded + this.failed;
  }

  /** Counts a request with the expected response. */
  succeed(latencyMs: number): void {
    this.succeeded += 1;
    this.#latencies.record(Math.max(1, Math.round(latencyMs * 1_000)));
  }

  /** Counts a request that failed. `kind` must contain nothing that differs between requests, because kinds are counted. */
  fail(kind: string): void {
    this.failed += 1;
    const known = this.#errors.has(kind) || this.#errors.size < MAX_KINDS;
    const key = known ? kind : OTHER;
    this.#errors.set(key, (this.#errors.get(key) ?? 0) + 1);
  }

  /** The lines of the report. Throughput and latencies include only requests that succeeded. */
  report(elapsedMs: number): readonly string[] {
    const perSecond = elapsedMs > 0 ? (this.succeeded / elapsedMs) * 1_000 : 0;
    const lines = [`Throughput: ${perSecond.toFixed(1)} requests/sec`];
    if (this.succeeded > 0) lines.push(`Latency: ${this.#latencyText()}`);
    lines.push(`Requests: ${this.succeeded} succeeded, ${this.failed} failed`);
    const kinds = [...this.#errors].sort(([, left], [, right]) => right - left);
    for (const [kind, count] of kinds) lines.push(`  ${count} x ${kind}`);
    return lines;
  }

  #latencyText(): string {
    const at = (percent: number): string => microseconds(this.#latencies.percentile(percent));
    const parts = [50, 90, 99, 99.9].map((percent) => `p${percent} ${at(percent)}`);
    return [...parts, `max ${microseconds(this.#latencies.max)}`].join(", ");
  }
}

function microseconds(us: number): string {
  return formatDuration(us / 1_000);
}
