// Metrics of the process and of Node: memory, CPU, event loop, garbage collection and file descriptors, under the names that
// dashboards for Node programs expect. None gets more expensive with the number of connections: with 14,000 sockets, counting
// handles one by one blocked the process for 40 ms at each scrape (measured).

import { readdirSync, readFileSync, statSync } from "node:fs";
import {
  constants,
  monitorEventLoopDelay,
  type PerformanceEntry,
  PerformanceObserver,
} from "node:perf_hooks";
import { getHeapSpaceStatistics } from "node:v8";
import { systemClock } from "@piko/tunnel";
import { Histogram } from "./histogram.js";
import type { Metrics } from "./metrics.js";

/** Upper bounds of garbage collection pauses, in seconds. */
const GC_BUCKETS: readonly number[] = [0.001, 0.01, 0.1, 1, 2, 5];
const GC_KINDS: readonly (readonly [number, string])[] = [
  [constants.NODE_PERFORMANCE_GC_MAJOR, "major"],
  [constants.NODE_PERFORMANCE_GC_MINOR, "minor"],
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL, "incremental"],
  [constants.NODE_PERFORMANCE_GC_WEAKCB, "weakcb"],
];
type GcEntry = PerformanceEntry & { readonly detail: { readonly kind: number } };

const FDS = "/proc/self/fd";

/** Adds the metrics. They describe the whole process, whatever else runs in it. */
export function addProcessMetrics(metrics: Metrics): void {
  addCpu(metrics);
  addMemory(metrics);
  addEventLoop(metrics);
  addGarbageCollection(metrics);
  metrics.counter(
    "piko_process_stood_still_total",
    "How often this process stood still for more than a second",
    () => systemClock.pauses,
  );
  metrics.counter(
    "piko_process_stood_still_seconds_total",
    "How long this process stood still in all, of times of more than a second",
    () => systemClock.stoodStillMs / 1_000,
  );
  const [major = "", minor = "", patch = ""] = process.version.slice(1).split(".");
  const labels = { version: process.version, major, minor, patch };
  metrics.add({
    name: "nodejs_version_info",
    help: "Version of Node.js; always 1",
    type: "gauge",
    labels: Object.keys(labels),
    read: () => [{ labels, value: 1 }],
  });
}

function addCpu(metrics: Metrics): void {
  const seconds = (micros: number): number => micros / 1e6;
  metrics.counter("process_cpu_user_seconds_total", "User CPU time, in seconds", () =>
    seconds(process.cpuUsage().user),
  );
  metrics.counter("process_cpu_system_seconds_total", "System CPU time, in seconds", () =>
    seconds(process.cpuUsage().system),
  );
  metrics.counter("process_cpu_seconds_total", "User and system CPU time, in seconds", () => {
    const { system, user } = process.cpuUsage();
    return seconds(user + system);
  });
  // oxlint-disable-next-line no-restricted-properties -- the metric is in seconds since 1970
  const startSeconds = Math.round(Date.now() / 1_000 - process.uptime());
  metrics.gauge(
    "process_start_time_seconds",
    "When the process started, in seconds since 1970",
    () => startSeconds,
  );
}

function addMemory(metrics: Metrics): void {
  metrics.gauge("process_resident_memory_bytes", "Resident memory", () => process.memoryUsage.rss());
  if (process.platform === "linux") {
    metrics.gauge("process_virtual_memory_bytes", "Virtual memory", () => statusBytes("VmSize"));
    metrics.gauge("process_heap_bytes", "Data segment of the process", () => statusBytes("VmData"));
    metrics.gauge("process_open_fds", "Number of open file descriptors", countFds);
    metrics.gauge("process_max_fds", "Maximum number of open file descriptors", maxFds);
  }
  metrics.gauge("nodejs_heap_size_total_bytes", "Size of the heap", () => process.memoryUsage().heapTotal);
  metrics.gauge("nodejs_heap_size_used_bytes", "Used part of the heap", () => process.memoryUsage().heapUsed);
  metrics.gauge(
    "nodejs_external_memory_bytes",
    "Memory of buffers outside the heap",
    () => process.memoryUsage().external,
  );
  const space = (what: string, of: (space: ReturnType<typeof getHeapSpaceStatistics>[number]) => number) =>
    metrics.labeled(
      "gauge",
      `nodejs_heap_space_size_${what}_bytes`,
      `Spaces of the heap: ${what}`,
      "space",
      () => getHeapSpaceStatistics().map((each) => [each.space_name.replace(/_space$/, ""), of(each)]),
    );
  space("total", ({ space_size: size }) => size);
  space("used", ({ space_used_size: size }) => size);
  space("available", ({ space_available_size: size }) => size);
}

function addEventLoop(metrics: Metrics): void {
  const delay = monitorEventLoopDelay();
  delay.enable();
  let lagSeconds = 0;
  metrics.gauge("nodejs_eventloop_lag_seconds", "Delay of the event loop at the last scrape", () => {
    const startMs = systemClock.now();
    // oxlint-disable-next-line no-restricted-globals -- it measures the event loop itself
    setImmediate(() => {
      lagSeconds = (systemClock.now() - startMs) / 1_000;
    });
    return lagSeconds;
  });
  const lag = (name: string, help: string, read: () => number): void =>
    metrics.gauge(
      `nodejs_eventloop_lag_${name}_seconds`,
      `${help} delay of the event loop since the last scrape`,
      () => read() / 1e9,
    );
  lag("min", "Minimum", () => delay.min);
  lag("max", "Maximum", () => delay.max);
  lag("mean", "Mean", () => delay.mean);
  lag("stddev", "Standard deviation of the", () => delay.stddev);
  lag("p50", "50th percentile of the", () => delay.percentile(50));
  lag("p90", "90th percentile of the", () => delay.percentile(90));
  // The last of these to be read, so it resets the histogram.
  lag("p99", "99th percentile of the", () => {
    const value = delay.percentile(99);
    delay.reset();
    return value;
  });
}

function addGarbageCollection(metrics: Metrics): void {
  const name = "nodejs_gc_duration_seconds";
  const kinds = new Map(
    GC_KINDS.map(([kind, label]) => [kind, { labels: { kind: label }, pauses: new Histogram(GC_BUCKETS) }]),
  );
  const observer = new PerformanceObserver((list) => {
    for (const { detail, duration } of list.getEntries() as GcEntry[]) {
      kinds.get(detail.kind)?.pauses.observe(duration / 1_000);
    }
  });
  observer.observe({ entryTypes: ["gc"] });
  metrics.add({
    name,
    help: "Duration of garbage collections, by kind",
    type: "histogram",
    labels: ["kind"],
    read: () => [...kinds.values()].flatMap(({ labels, pauses }) => [...pauses.samples(name, labels)]),
  });
}

/** A value from /proc/self/status, which is in KiB there. */
function statusBytes(name: string): number {
  try {
    const [, kib = "0"] =
      new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(readFileSync("/proc/self/status", "utf8")) ?? [];
    return Number(kib) * 1_024;
  } catch {
    return 0;
  }
}

function maxFds(): number {
  try {
    const [, soft = "0"] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return Number(soft);
  } catch {
    return 0;
  }
}

/** On Linux 6.2 and later, the directory's size is the number of descriptors; before that, they have to be listed. */
function countFds(): number {
  try {
    const { size } = statSync(FDS);
    return size > 0 ? size : readdirSync(FDS).length - 1;
  } catch {
    return 0;
  }
}
