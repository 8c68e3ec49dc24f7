import { FakeClock } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { Metrics } from "../observability/metrics.js";
import { createSilentLogger } from "../../test/silent-logger.js";
import { LimitCounters } from "./limit-counters.js";

function create() {
  const clock = new FakeClock();
  const metrics = new Metrics();
  const warnings: unknown[] = [];
  const logger = {
    ...createSilentLogger(),
    warn: (_: string, fields: unknown) => void warnings.push(fields),
  };
  const limits = new LimitCounters({
    metrics,
    metric: "limited_total",
    help: "Refusals",
    capacities: ["max_things"],
    others: ["max_size"],
    section: "proxy.limits",
    logger,
    clock,
  });
  return { clock, metrics, limits, warnings };
}

describe("LimitCounters", () => {
  it("shows every limit from the start, and counts", async () => {
    const { limits, metrics } = create();
    limits.hit("max_size");
    limits.hit("max_size");
    const text = await metrics.text();
    expect(text).toContain('limited_total{limit="max_things"} 0\n');
    expect(text).toContain('limited_total{limit="max_size"} 2\n');
  });

  it("warns about a capacity once a minute, with the count so far", () => {
    const { clock, limits, warnings } = create();
    for (let i = 0; i < 3; i++) limits.hit("max_things");
    clock.advance(60_000);
    limits.hit("max_things");
    expect(warnings).toEqual([
      { limit: "proxy.limits.max_things", refused: 1 },
      { limit: "proxy.limits.max_things", refused: 4 },
    ]);
  });

  it("doesn't warn about limits of single clients", () => {
    const { limits, warnings } = create();
    limits.hit("max_size");
    expect(warnings).toEqual([]);
  });
});
