import { expect, it } from "vitest";
import { EndpointMetrics } from "./endpoint-metrics.js";
import { Metrics } from "./metrics.js";

it("counts the first served endpoints separately, and all others together", () => {
  const metrics = new Metrics();
  const endpoints = new EndpointMetrics(metrics, 2);
  const request = { status: 200, durationMs: 20, tries: 1, reason: undefined };
  endpoints.count({ ...request, endpointId: "a" });
  endpoints.count({ ...request, endpointId: "invented", status: 502, tries: 0, reason: {} });
  endpoints.count({ ...request, endpointId: "b", status: 999 });
  endpoints.count({ ...request, endpointId: "c" });
  endpoints.count({ ...request, endpointId: "a", status: 499, reason: {} });
  endpoints.count({ ...request, endpointId: "other" });
  const counts = metrics
    .text()
    .split("\n")
    .filter((line) => /^[^#].* [1-9]\d*$/.test(line) && !line.includes("_bucket"));
  expect(counts).toEqual([
    'piko_endpoint_requests_total{endpoint="a",status="2xx"} 1',
    'piko_endpoint_requests_total{endpoint="a",status="4xx"} 1',
    'piko_endpoint_requests_total{endpoint="b",status="5xx"} 1',
    'piko_endpoint_requests_total{endpoint="other",status="2xx"} 2',
    'piko_endpoint_requests_total{endpoint="other",status="5xx"} 1',
    'piko_endpoint_failed_requests_total{endpoint="a"} 1',
    'piko_endpoint_failed_requests_total{endpoint="other"} 1',
    'piko_endpoint_request_latency_seconds_count{endpoint="a"} 2',
    'piko_endpoint_request_latency_seconds_count{endpoint="b"} 1',
    'piko_endpoint_request_latency_seconds_count{endpoint="other"} 3',
  ]);
});
