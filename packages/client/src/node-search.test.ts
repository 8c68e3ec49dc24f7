import { describe, expect, it } from "vitest";
import { NodeSearch } from "./node-search.js";

function delays(search: NodeSearch, count: number): number[] {
  return Array.from({ length: count }, () => search.next());
}

describe("NodeSearch", () => {
  it("tries ten times within ten seconds, then three times in a row, with growing pauses", () => {
    const search = new NodeSearch(() => 0.5);
    const first = delays(search, 10);
    expect(first).toEqual([50, 100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000, 1_000]);
    expect(search.rests).toBe(false);
    for (const restMs of [30_000, 60_000, 120_000, 240_000, 300_000, 300_000]) {
      expect(search.next()).toBe(restMs);
      expect(search.rests).toBe(true);
      expect(delays(search, 2)).toEqual([100, 200]);
      expect(search.rests).toBe(false);
    }
  });

  it("takes at most 14 s for the first ten tries, and spreads later ones", () => {
    const late = new NodeSearch(() => 0.999_999);
    expect(delays(late, 10).reduce((sum, ms) => sum + ms)).toBeLessThan(14_000);
    expect(late.next()).toBe(44_999);
    const early = new NodeSearch(() => 0);
    expect(delays(early, 11).at(-1)).toBe(15_000);
  });

  it("starts again when something has changed", () => {
    const search = new NodeSearch(() => 0.5);
    delays(search, 14);
    search.begin();
    expect(search.rests).toBe(false);
    expect(delays(search, 11).at(-1)).toBe(30_000);
  });
});
