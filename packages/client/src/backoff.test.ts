import { SeededRandom } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { BACKOFF_CAP_MS, Backoff, STABLE_AFTER_MS } from "./backoff.js";

describe("Backoff", () => {
  it("doubles its bound up to the cap", () => {
    const backoff = new Backoff(() => 1 - 2 ** -30);
    const delays = Array.from({ length: 10 }, () => backoff.next() + 1);
    expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]);
  });

  it("spreads delays over the whole range", () => {
    const random = new SeededRandom(7);
    const delays = Array.from({ length: 1000 }, () => new Backoff(() => random.next()).next());
    expect(Math.min(...delays)).toBeLessThan(5);
    expect(Math.max(...delays)).toBeGreaterThan(94);
    expect(Math.max(...delays)).toBeLessThan(100);
  });

  it("starts again only after a stable connection", () => {
    const backoff = new Backoff(() => 0.5);
    for (let i = 0; i < 4; i++) backoff.next();
    backoff.ended(STABLE_AFTER_MS - 1);
    expect(backoff.next()).toBe(800);
    backoff.ended(STABLE_AFTER_MS);
    expect(backoff.attempts).toBe(0);
    expect(backoff.next()).toBe(50);
  });

  it("uses the cap at once for refusals that only a person can fix", () => {
    expect(new Backoff(() => 0.5).longest()).toBe(BACKOFF_CAP_MS / 2);
  });

  it("stays at the cap however often it is called", () => {
    const backoff = new Backoff(() => 0.5);
    for (let i = 0; i < 2000; i++) backoff.next();
    expect(backoff.next()).toBe(BACKOFF_CAP_MS / 2);
  });
});
