import { FakeClock } from "@piko/testkit";
import { expect, it } from "vitest";
import { BenchResults } from "./bench-results.js";
import { ProgressLine } from "./progress-line.js";

it("rewrites its line with the rate since the last update, and is removed", () => {
  const clock = new FakeClock();
  const results = new BenchResults();
  let written = "";
  const progress = new ProgressLine((text) => (written += text), results, 1_000, clock);
  for (let i = 0; i < 99; i++) results.succeed(1);
  results.fail("status 502");
  clock.advance(250);
  expect(written).toBe("\r\u001b[2K10%  100 of 1000 requests  400/s  1 failed");
  written = "";
  progress.close();
  progress.close();
  clock.advance(1_000);
  expect(written).toBe("\r\u001b[2K");
  expect(clock.pending).toBe(0);
});
