import { expect, it } from "vitest";
import { RateMeter } from "./rate-meter.js";

it("is none before a second look", () => {
  expect(new RateMeter().update(1_000, 40)).toBe(0);
});

it("is the mean of what there is until five seconds are full", () => {
  const meter = new RateMeter();
  meter.update(0, 100);
  expect(meter.update(500, 110)).toBe(20);
  expect(meter.update(2_000, 120)).toBe(10);
});

it("is the mean of the last five seconds from then on, and comes to nothing", () => {
  const meter = new RateMeter();
  for (let second = 0; second <= 10; second++) meter.update(second * 1_000, second * 7);
  expect(meter.update(11_000, 77)).toBe(7);
  for (let second = 12; second < 16; second++) meter.update(second * 1_000, 77);
  expect(meter.update(16_000, 77)).toBe(0);
});
