import { describe, expect, it } from "vitest";
import { BenchResults } from "./bench-results.js";

describe("the results of a benchmark", () => {
  it("show throughput and latencies of successes, and errors by kind, the most frequent first", () => {
    const results = new BenchResults();
    for (let ms = 1; ms <= 100; ms++) results.succeed(ms);
    results.fail("ECONNRESET");
    results.fail("status 502");
    results.fail("status 502");
    const [throughput, latency, ...rest] = results.report(2_000);
    expect(throughput).toBe("Throughput: 50.0 requests/sec");
    // The histogram keeps three digits.
    expect(latency).toMatch(
      /^Latency: p50 50\.\d+ms, p90 90\.\d+ms, p99 99\.\d+ms, p99\.9 100\.\d+ms, max 100\.\d+ms$/,
    );
    expect(rest).toEqual(["Requests: 100 succeeded, 3 failed", "  2 x status 502", "  1 x ECONNRESET"]);
    expect(results.done).toBe(103);
  });

  it("have no latencies if nothing succeeded", () => {
    const results = new BenchResults();
    results.fail("ECONNREFUSED");
    expect(results.report(0)).toEqual([
      "Throughput: 0.0 requests/sec",
      "Requests: 0 succeeded, 1 failed",
      "  1 x ECONNREFUSED",
    ]);
  });

  it("distinguish only a limited number of kinds", () => {
    const results = new BenchResults();
    for (let i = 0; i < 1_000; i++) results.fail(`kind ${i}`);
    expect(results.report(1)).toHaveLength(2 + 33);
    expect(results.report(1)[2]).toBe("  968 x other");
  });
});
