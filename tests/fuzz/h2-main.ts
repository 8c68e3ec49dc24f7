// What `npm run fuzz -- h2` runs: sends the requested number of HTTP/2 frames to a node and an agent. Fails at the first
// request that doesn't end exactly once, if memory is held after a connection has closed, and if memory grows.

import { parseArgs } from "node:util";
import { H2Campaign } from "./h2-campaign.js";

const ROUND = 10_000;
const REPORT_FRAMES = 1_000_000;
/** Maximum growth of memory from the first tenth of the frames to the end. */
const GROWTH_BYTES = 16 * 1_024 * 1_024;

const { values } = parseArgs({
  args: process.argv.slice(2).filter((arg) => arg !== "h2"),
  options: { frames: { type: "string", default: "1000000" }, seed: { type: "string" } },
});
const frames = Number(values.frames);
const seed = Number(values.seed ?? Date.now() % 1_000_000_000);
if (!Number.isSafeInteger(frames) || !Number.isSafeInteger(seed)) throw new Error("not a whole number");
process.stdout.write(`seed ${seed}, ${frames} frames\n`);

/** Memory in use after garbage collection. */
function usedBytes(): number {
  (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const campaign = new H2Campaign(seed);
const { summary } = campaign;
const startMs = performance.now();
let before: number | undefined;
let reportedAt = 0;
while (summary.frames < frames) {
  campaign.run(Math.min(ROUND, frames - summary.frames));
  // Work that is deferred to the next turn holds memory until then.
  await new Promise((resolve) => setImmediate(resolve));
  if (summary.frames < frames / 10) continue;
  before ??= usedBytes();
  if (summary.frames - reportedAt < REPORT_FRAMES) continue;
  reportedAt = summary.frames;
  process.stdout.write(`${summary.frames} frames, ${Math.round((usedBytes() / 1_048_576) * 10) / 10} MB\n`);
}
const grown = usedBytes() - (before ?? 0);
process.stdout.write(`${JSON.stringify(summary)}\n`);
process.stdout.write(
  `memory ${grown > 0 ? "+" : ""}${Math.round(grown / 1_024)} KiB since the first tenth, ${((performance.now() - startMs) / 1_000).toFixed(1)} s\n`,
);
if (grown > GROWTH_BYTES) process.exitCode = 1;
