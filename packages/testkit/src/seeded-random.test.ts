import { describe, expect, it } from "vitest";
import { SeededRandom } from "./seeded-random.js";

describe("SeededRandom", () => {
  it("repeats itself for a seed and differs for another", () => {
    expect(new SeededRandom(7).bytes(64)).toEqual(new SeededRandom(7).bytes(64));
    expect(new SeededRandom(7).bytes(64)).not.toEqual(new SeededRandom(8).bytes(64));
  });

  it("stays within the given bounds and reaches both", () => {
    const random = new SeededRandom(1);
    const seen = new Set(Array.from({ length: 200 }, () => random.int(3, 6)));
    expect([...seen].sort()).toEqual([3, 4, 5, 6]);
  });

  it("is spread evenly enough", () => {
    const random = new SeededRandom(2);
    let sum = 0;
    for (let i = 0; i < 10_000; i++) sum += random.next();
    expect(sum / 10_000).toBeGreaterThan(0.48);
    expect(sum / 10_000).toBeLessThan(0.52);
  });

  it("splits a buffer into pieces that add up to it", () => {
    const random = new SeededRandom(3);
    const bytes = random.bytes(1000);
    const pieces = random.split(bytes, 7);
    expect(Buffer.concat(pieces)).toEqual(bytes);
    expect(Math.max(...pieces.map((piece) => piece.length))).toBe(7);
  });
});
