import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatDuration, parseDuration } from "./duration.js";

describe("parseDuration", () => {
  it.each([
    ["0", 0],
    ["-0", 0],
    ["0s", 0],
    ["300ms", 300],
    ["10s", 10_000],
    ["1m30s", 90_000],
    ["1.5h", 5_400_000],
    [".5s", 500],
    ["1.s", 1_000],
    ["-2s", -2_000],
    ["+2s", 2_000],
    ["1h0m0.5s", 3_600_500],
    ["100us", 0.1],
    ["100µs", 0.1],
    ["100μs", 0.1],
    ["1ns", 0.000_001],
  ])("reads %s", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each([
    ["", 'invalid duration ""'],
    ["-", 'invalid duration "-"'],
    ["10", 'invalid duration "10": missing unit (such as 10s or 500ms)'],
    ["1m30", 'invalid duration "1m30": missing unit (such as 10s or 500ms)'],
    ["10 s", 'invalid duration "10 s": unknown unit " s"'],
    ["3d", 'invalid duration "3d": unknown unit "d"'],
    ["s", 'invalid duration "s"'],
    [".s", 'invalid duration ".s"'],
    ["1..5s", 'invalid duration "1..5s": missing unit (such as 10s or 500ms)'],
    ["--1s", 'invalid duration "--1s"'],
  ])("rejects %j", (text, message) => {
    expect(() => parseDuration(text)).toThrow(new RangeError(message));
  });
});

describe("formatDuration", () => {
  it.each([
    [0, "0s"],
    [0.000_001, "1ns"],
    [0.001_5, "1.5µs"],
    [7.307_009, "7.307009ms"],
    [300, "300ms"],
    [1_500, "1.5s"],
    [60_000, "1m0s"],
    [90_000, "1m30s"],
    [300_000, "5m0s"],
    [3_600_000, "1h0m0s"],
    [-1_500, "-1.5s"],
    [999.999_999_9, "1s"],
  ])("prints %d ms as Go does", (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it("prints what parses to the same whole microseconds", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2_147_483_647_000 }), (micros) => {
        expect(parseDuration(formatDuration(micros / 1_000))).toBeCloseTo(micros / 1_000, 6);
      }),
    );
  });
});
