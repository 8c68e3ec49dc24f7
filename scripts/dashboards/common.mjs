// Panels that nodes and agents have in common, and helpers to write queries. `select` is a list of matchers: `job=~"$job"`.

import { graph, query } from "./panels.mjs";

/** Increase per second. */
export const rate = (metric, select) => `rate(${metric}{${select}}[$__rate_interval])`;

export const sumRate = (by, metric, select) => `sum by (${by}) (${rate(metric, select)})`;

/** A percentile of a histogram; `part` is 0 to 1. */
export const quantile = (part, metric, select, by = "") =>
  `histogram_quantile(${part}, sum by (${by === "" ? "le" : `le, ${by}`}) (${rate(`${metric}_bucket`, select)}))`;

/** Three percentiles of a histogram in one panel. */
export const percentiles = (metric, select) => [
  query(quantile(0.5, metric, select), "p50"),
  query(quantile(0.9, metric, select), "p90"),
  query(quantile(0.99, metric, select), "p99"),
];

/** The resources that each process uses. */
export const processPanels = (select) => [
  graph(
    "CPU",
    "percentunit",
    [query(rate("process_cpu_seconds_total", select), "{{instance}}")],
    "Share of one core, which is the maximum for the event loop; other threads may use some more.",
  ),
  graph("Memory", "bytes", [
    query(`process_resident_memory_bytes{${select}}`, "{{instance}} resident"),
    query(`nodejs_heap_size_used_bytes{${select}}`, "{{instance}} heap"),
    query(`nodejs_external_memory_bytes{${select}}`, "{{instance}} buffers"),
  ]),
  graph(
    "Event loop delay",
    "s",
    [
      query(`nodejs_eventloop_lag_p99_seconds{${select}}`, "{{instance}} p99"),
      query(`nodejs_eventloop_lag_max_seconds{${select}}`, "{{instance}} max"),
    ],
    "How late events are handled. An idle process shows about 10 ms because of how the delay is measured.",
  ),
  graph(
    "Time standing still",
    "percentunit",
    [query(rate("piko_process_stood_still_seconds_total", select), "{{instance}}")],
    "Share of the time that the process spent in pauses of more than a second, without CPU time.",
  ),
  graph("Versions", "short", [
    query(`count by (job, version) (piko_build_info{${select}})`, "{{job}} {{version}}"),
  ]),
  graph("Garbage collection", "percentunit", [
    query(sumRate("instance, kind", "nodejs_gc_duration_seconds_sum", select), "{{instance}} {{kind}}"),
  ]),
  graph(
    "Spans (tracing.url)",
    "ops",
    [
      query(rate("piko_tracing_exported_spans_total", select), "{{instance}} exported"),
      query(
        `${sumRate("instance, reason", "piko_tracing_dropped_spans_total", select)} > 0`,
        "{{instance}} dropped: {{reason}}",
      ),
    ],
    "Spans that the trace collector accepted, and spans that were dropped.",
  ),
  graph("Spans waiting for the collector", "short", [
    query(`piko_tracing_queued_spans{${select}}`, "{{instance}}"),
  ]),
  graph("File descriptors", "short", [
    query(`process_open_fds{${select}}`, "{{instance}}"),
    query(`process_max_fds{${select}}`, "{{instance}} limit"),
  ]),
];
