import { expect, it } from "vitest";
import { standStillLog } from "./stand-still-log.js";

/** A process that stands still. `pass` advances time while it runs. */
function setUp() {
  const lines: unknown[] = [];
  const warn = (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
    expect(message).toBe("process stood still");
    lines.push([fields["paused-ms"], fields["untold-times"] ?? 0, fields["untold-ms"] ?? 0]);
  };
  const clock = { ms: 1_000, pausedMs: 0, now: () => clock.ms };
  const log = standStillLog({ warn }, clock);
  return {
    pass: (ms: number): void => void (clock.ms += ms),
    standStill: (ms: number): void => {
      clock.pausedMs += ms - 500;
      clock.ms += 500;
      log(ms);
    },
    lines,
  };
}

it("logs the duration of each pause", () => {
  const { lines, pass, standStill } = setUp();
  standStill(1_200.4);
  pass(60_000);
  standStill(4_200);
  expect(lines).toEqual([
    [1_200, 0, 0],
    [4_200, 0, 0],
  ]);
});

it("logs at most five lines at once, and later what was left out", () => {
  const { lines, pass, standStill } = setUp();
  for (let i = 0; i < 8; i++) standStill(1_100);
  expect(lines).toHaveLength(5);
  pass(5_000);
  standStill(2_000);
  standStill(2_000);
  expect(lines.slice(5)).toEqual([[2_000, 3, 3_300]]);
  pass(60_000);
  for (let i = 0; i < 8; i++) standStill(1_100);
  expect(lines).toHaveLength(11);
  expect(lines[6]).toEqual([1_100, 1, 2_000]);
});

it("logs at most one line in ten seconds for a process that lacks CPU for an hour", () => {
  const { lines, standStill } = setUp();
  for (let i = 0; i < 1_800; i++) standStill(2_000);
  expect(lines.length).toBeLessThanOrEqual(5 + 360);
  expect(lines.length).toBeGreaterThan(350);
});
