import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ReplayWindow, WINDOW_COUNTERS } from "./replay-window.js";

function take(window: ReplayWindow, counter: number): boolean {
  const fresh = window.isNew(counter);
  if (fresh) window.add(counter);
  return fresh;
}

describe("a replay window", () => {
  it("accepts each counter once, in any order within the window", () => {
    const window = new ReplayWindow();
    const counters = Array.from({ length: WINDOW_COUNTERS }, (_, i) => ((i * 1_001) % WINDOW_COUNTERS) + 1);
    for (const counter of counters) expect(take(window, counter)).toBe(true);
    for (const counter of counters) expect(take(window, counter)).toBe(false);
  });

  it("rejects counters older than the window, and values that no message has", () => {
    const window = new ReplayWindow();
    expect(take(window, 0)).toBe(false);
    expect(take(window, 10_000)).toBe(true);
    expect(take(window, 10_000 - WINDOW_COUNTERS)).toBe(false);
    expect(take(window, 10_001 - WINDOW_COUNTERS)).toBe(true);
    expect(take(window, 2 ** 48 - 1)).toBe(true);
    expect(take(window, 10_000)).toBe(false);
    expect(take(window, 2 ** 48 - 1)).toBe(false);
    expect(take(window, 2 ** 48 - 2)).toBe(true);
  });

  it("agrees with a set of all counters seen", () => {
    const step = fc.oneof(
      fc.integer({ min: -40, max: 3 }),
      fc.integer({ min: -5_000, max: 200 }),
      fc.integer({ min: 0, max: 9_000 }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const window = new ReplayWindow();
        const seen = new Set<number>();
        let highest = 0;
        for (const by of steps) {
          const counter = Math.max(1, highest + by);
          const fresh = !seen.has(counter) && counter > highest - WINDOW_COUNTERS;
          expect(take(window, counter)).toBe(fresh);
          seen.add(counter);
          highest = Math.max(highest, fresh ? counter : 0);
        }
      }),
    );
  });
});
