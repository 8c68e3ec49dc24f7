import { readdirSync } from "node:fs";
import { expect, it } from "vitest";
import { Metrics, METRICS_TYPE } from "./metrics.js";
import { addProcessMetrics } from "./process-metrics.js";

it("shows the current values of counters and gauges", async () => {
  const metrics = new Metrics();
  let connected = 0;
  metrics.gauge("piko_upstreams_connected_upstreams", "Number of tunnels", () => connected);
  metrics.counter("piko_upstreams_upstream_requests_total", "Number of requests", () => 7);
  metrics.labeled("gauge", "piko_cluster_nodes", "Number of nodes", "status", () => [
    ["active", 2],
    ["left", 1],
  ]);
  connected = 3;
  expect(metrics.text()).toBe(`# HELP piko_upstreams_connected_upstreams Number of tunnels
# TYPE piko_upstreams_connected_upstreams gauge
piko_upstreams_connected_upstreams 3
# HELP piko_upstreams_upstream_requests_total Number of requests
# TYPE piko_upstreams_upstream_requests_total counter
piko_upstreams_upstream_requests_total 7
# HELP piko_cluster_nodes Number of nodes
# TYPE piko_cluster_nodes gauge
piko_cluster_nodes{status="active"} 2
piko_cluster_nodes{status="left"} 1
`);
  expect(METRICS_TYPE).toBe("text/plain; version=0.0.4; charset=utf-8");
});

it("shows only the type of a labeled metric without series", async () => {
  const metrics = new Metrics();
  metrics.labeled("counter", "piko_upstreams_remote_requests_total", "Number", "node_id", () => []);
  expect(metrics.text()).not.toContain("\npiko_upstreams_remote_requests_total");
});

it("rejects a name that exists", () => {
  const metrics = new Metrics();
  metrics.gauge("a", "b", () => 0);
  expect(() => metrics.gauge("a", "b", () => 0)).toThrow("metric a is there already");
});

it("shows metrics of the process and Node if enabled", async () => {
  const metrics = new Metrics();
  addProcessMetrics(metrics);
  const text = metrics.text();
  expect(text).toContain("process_cpu_seconds_total");
  expect(text).toContain("nodejs_eventloop_lag_seconds");
  expect(text).toMatch(/^piko_process_stood_still_total \d+$/m);
  expect(text).toMatch(/^piko_process_stood_still_seconds_total \d/m);
  // Metrics that have to look at every connection are too expensive.
  expect(text).not.toContain("nodejs_active");
  if (process.platform !== "linux") return;
  const fds = Number(/^process_open_fds (\d+)$/m.exec(text)?.[1]);
  expect(fds).toBeGreaterThan(3);
  expect(Math.abs(fds - readdirSync("/proc/self/fd").length)).toBeLessThan(10);
});

it("writes labels and numbers so that a scraper reads the same values", async () => {
  const metrics = new Metrics();
  metrics.labeled("gauge", "a", "b", "node_id", () => [
    ['x"\n\\', Number.POSITIVE_INFINITY],
    ["y", 1e21],
    ["__proto__", 0.5],
  ]);
  expect(metrics.text()).toBe(
    '# HELP a b\n# TYPE a gauge\na{node_id="x\\"\\n\\\\"} +Inf\na{node_id="y"} 1e+21\na{node_id="__proto__"} 0.5\n',
  );
});
