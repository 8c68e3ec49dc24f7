import { describe, expect, it } from "vitest";
import { Arrivals, judge } from "./failure-detector.js";

/** A node that answered every `everyMs` until time 0. */
function steady(everyMs: number): Arrivals {
  const arrivals = new Arrivals(-100 * everyMs, 100);
  for (let i = 99; i >= 0; i--) arrivals.report(-i * everyMs);
  return arrivals;
}

function unreachableAfter(everyMs: number, refused: boolean): number {
  const arrivals = steady(everyMs);
  for (let now = 0; now < 60_000; now += 10) if (judge(arrivals, refused, now, 100).unreachable) return now;
  return Number.POSITIVE_INFINITY;
}

describe("the failure detector", () => {
  it("measures silence in multiples of the usual interval, as Go does", () => {
    expect(steady(100).phi(2_000, 100)).toBeCloseTo(20);
    expect(steady(500).phi(2_000, 100)).toBeCloseTo(4);
    // Never heard: the usual interval counts as twice the gossip interval.
    expect(new Arrivals(0, 100).phi(4_000, 100)).toBeCloseTo(20);
  });

  it("declares a node unreachable after the same time, however rarely it was heard", () => {
    for (const everyMs of [50, 100, 500, 1_000, 10_000]) expect(unreachableAfter(everyMs, false)).toBe(2_700);
  });

  it("declares it unreachable earlier when its address refuses", () => {
    expect(unreachableAfter(50, true)).toBeLessThanOrEqual(1_010);
    expect(unreachableAfter(10_000, true)).toBe(2_000);
  });

  it("probes it by packets, then over TCP, before that", () => {
    const arrivals = steady(1_000);
    const at = (now: number): unknown => judge(arrivals, false, now, 100);
    expect(at(1_100)).toEqual({ probes: 0, exchange: false, unreachable: false });
    expect(at(1_200)).toEqual({ probes: 1, exchange: false, unreachable: false });
    expect(at(1_600)).toEqual({ probes: 1, exchange: true, unreachable: false });
    expect(at(2_000)).toEqual({ probes: 3, exchange: true, unreachable: false });
  });

  it("treats answers in bursts as an interval of at least half a gossip interval", () => {
    const arrivals = new Arrivals(0, 100);
    for (let i = 1; i <= 60; i++) arrivals.report(i);
    expect(arrivals.phi(60 + 500, 100)).toBeCloseTo(10);
  });

  it("excludes time in which this process was stopped", () => {
    const arrivals = steady(100);
    arrivals.excuse(59_000, 60_000);
    expect(arrivals.silence(60_000)).toBe(1_000);
    arrivals.excuse(59_000, 60_000);
    expect(arrivals.silence(60_000)).toBe(0);
  });
});
