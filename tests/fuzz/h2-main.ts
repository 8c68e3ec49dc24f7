// What `npm run fuzz -- h2` runs: frames of HTTP/2 before a node and an agent, as many as it is told to. Fails at the first
// request without an end, or with two, at what is held behind a connection, and when memory grows.

import { parseArgs } from "node:util";
import { H2Campaign } from "./h2-campaign.js";

const ROUND = 10_000;
const TOLD = 1_000_000;
/** Memory may be this much more at the end than after the first tenth. */
const GROWTH_BYTES = 16 * 1_024 * 1_024;

const { values } = parseArgs({
  args: process.argv.slice(2).filter((arg) => arg !== "h2"),
  options: { frames: { type: "string", default: "1000000" }, seed: { type: "string" } },
});
const frames = Number(values.frames);
const seed = Number(values.seed ?? Date.now() % 1_000_000_000);
if (!Number.isSafeInteger(frames) || !Number.isSafeInteger(seed)) throw new Error("not a whole number");
process.stdout.write(`seed ${seed}, ${frames} frames\n`);

/** Memory that is in use, without what waits to be collected. */
function usedBytes(): number {
  (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const campaign = new H2Campaign(seed);
const { summary } = campaign;
const startMs = performance.now();
let before: number | undefined;
let toldAt = 0;
while (summary.frames < frames) {
  campaign.run(Math.min(ROUND, frames - summary.frames));
  // What is put off to the next turn is held until there is one.
  await new Promise((resolve) => setImmediate(resolve));
  if (summary.frames < frames / 10) continue;
  before ??= usedBytes();
  if (summary.frames - toldAt < TOLD) continue;
  toldAt = summary.frames;
  process.stdout.write(`${summary.frames} frames, ${Math.round((usedBytes() / 1_048_576) * 10) / 10} MB\n`);
}
const grown = usedBytes() - (before ?? 0);
process.stdout.write(`${JSON.stringify(summary)}\n`);
process.stdout.write(
  `memory ${grown > 0 ? "+" : ""}${Math.round(grown / 1_024)} KiB since the first tenth, ${((performance.now() - startMs) / 1_000).toFixed(1)} s\n`,
);
if (grown > GROWTH_BYTES) process.exitCode = 1;
