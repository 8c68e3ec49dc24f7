import { Counter, Histogram as PromHistogram, Registry } from "prom-client";
import { expect, it } from "vitest";
import { LATENCY_BUCKETS, SIZE_BUCKETS } from "./histogram.js";
import { Metrics } from "./metrics.js";
import { RequestMetricsFamily, methodIndex } from "./request-metrics.js";

it("counts as the metrics of prom-client do", async () => {
  const metrics = new Metrics();
  const requests = new RequestMetricsFamily(metrics, "piko_proxy").child();
  const registry = new Registry();
  const common = { labelNames: ["status", "method"], registers: [registry] };
  const total = new Counter({ name: "piko_proxy_requests_total", help: "h", ...common });
  const latencies = new PromHistogram({
    name: "piko_proxy_request_latency_seconds",
    help: "h",
    buckets: [...LATENCY_BUCKETS],
    ...common,
  });
  const sizes = new PromHistogram({
    name: "piko_proxy_response_size_bytes",
    help: "h",
    buckets: [...SIZE_BUCKETS],
    registers: [registry],
  });
  const samples = [
    ["200", "GET", 0.0049, 0],
    ["200", "GET", 0.005, 256],
    ["200", "POST", 0.0051, 257],
    ["502", "GET", 10, 4_194_304],
    ["504", "GET", 30, 4_194_305],
  ] as const;
  for (const [status, method, seconds, bytes] of samples) {
    requests.begin();
    requests.end(Number(status), method, seconds, 100, bytes);
    total.inc({ status, method });
    latencies.observe({ status, method }, seconds);
    sizes.observe(bytes);
  }
  const lines = (text: string): readonly string[] =>
    text
      .split("\n")
      .filter((line) => /^piko_proxy_(requests_total|request_latency|response_size)/.test(line))
      // prom-client puts `le` before the other labels.
      .map((line) => line.replace('le="1048576"', 'le="1.048576e+06"'))
      .map((line) => line.replace('le="4194304"', 'le="4.194304e+06"'))
      .map((line) =>
        line.replace(/\{(.*)\}/, (_, labels: string) => `{${labels.split(",").sort().join(",")}}`),
      )
      .sort();
  expect(lines(await metrics.text())).toEqual(lines(await registry.metrics()));
});

it("counts requests in progress", async () => {
  const metrics = new Metrics();
  const requests = new RequestMetricsFamily(metrics, "piko_proxy").child();
  requests.begin();
  requests.begin();
  requests.end(200, methodIndex("GET"), 0.1, 1, 1);
  const text = await metrics.text();
  expect(text).toContain("piko_proxy_requests_in_flight 1\n");
  expect(text).toContain('piko_proxy_requests_total{status="200",method="GET"} 1\n');
});

it("counts unknown methods together, and unknown statuses by class", async () => {
  const metrics = new Metrics();
  const requests = new RequestMetricsFamily(metrics, "piko_proxy").child();
  for (const method of ["PURGE", "get", ""]) requests.end(200, method, 0, 0, 0);
  for (const status of [0, 99, 600, 999, 190, 299, 399, 477, 599, 499]) requests.end(status, "GET", 0, 0, 0);
  const text = await metrics.text();
  expect(text).toContain('piko_proxy_requests_total{status="200",method="OTHER"} 3\n');
  expect(text).toContain('piko_proxy_requests_total{status="other",method="GET"} 4\n');
  for (const status of ["1xx", "2xx", "3xx", "4xx", "5xx", "499"]) {
    expect(text).toContain(`piko_proxy_requests_total{status="${status}",method="GET"} 1\n`);
  }
});

it("has a limited number of series, whatever services answer", async () => {
  const metrics = new Metrics();
  const requests = new RequestMetricsFamily(metrics, "piko_proxy").child();
  for (let status = 0; status < 1_000; status++) {
    for (let method = 0; method < 10; method++) requests.end(status, method, 0, 0, 0);
  }
  const text = await metrics.text();
  expect(text.match(/^piko_proxy_requests_total\{/gm)?.length).toBeLessThan(700);
});

it("separates the listeners of an agent by endpoint", async () => {
  const metrics = new Metrics();
  const family = new RequestMetricsFamily(metrics, "piko_agent");
  const [a, b] = [family.child({ endpoint: "a" }), family.child({ endpoint: "b" })];
  a.end(200, "GET", 0, 10, 20);
  b.end(404, "PUT", 0, 10, 20);
  const text = await metrics.text();
  expect(text).toContain('piko_agent_requests_total{status="200",method="GET",endpoint="a"} 1\n');
  expect(text).toContain('piko_agent_requests_total{status="404",method="PUT",endpoint="b"} 1\n');
  expect(text).toContain('piko_agent_response_size_bytes_sum{endpoint="a"} 20\n');
});
