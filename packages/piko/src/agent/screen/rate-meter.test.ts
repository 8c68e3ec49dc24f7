import { expect, it } from "vitest";
import { RateMeter } from "./rate-meter.js";

it("is 0 before the second update", () => {
  expect(new RateMeter().update(1_000, 40)).toBe(0);
});

it("is the mean of all updates until there are five seconds of them", () => {
  const meter = new RateMeter();
  meter.update(0, 100);
  expect(meter.update(500, 110)).toBe(20);
  expect(meter.update(2_000, 120)).toBe(10);
});

it("is then the mean of the last five seconds, and decreases to 0", () => {
  const meter = new RateMeter();
  for (let second = 0; second <= 10; second++) meter.update(second * 1_000, second * 7);
  expect(meter.update(11_000, 77)).toBe(7);
  for (let second = 12; second < 16; second++) meter.update(second * 1_000, 77);
  expect(meter.update(16_000, 77)).toBe(0);
});
