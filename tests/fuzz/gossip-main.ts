// What `npm run fuzz -- gossip` runs: attacks encrypted gossip with the requested number of packets. Fails at the first
// packet that is wrongly accepted or dropped, and if memory grows.

import { parseArgs } from "node:util";
import { GossipCampaign } from "./gossip-campaign.js";

const ROUND = 100_000;
/** Maximum growth of memory from the first tenth of the packets to the end. */
const GROWTH_BYTES = 16 * 1_024 * 1_024;

const { values } = parseArgs({
  args: process.argv.slice(2).filter((arg) => arg !== "gossip"),
  options: { packets: { type: "string", default: "1000000" }, seed: { type: "string" } },
});
const packets = Number(values.packets);
const seed = Number(values.seed ?? Date.now() % 1_000_000_000);
if (!Number.isSafeInteger(packets) || !Number.isSafeInteger(seed)) throw new Error("not a whole number");
process.stdout.write(`seed ${seed}, ${packets} packets\n`);

/** Memory in use after garbage collection. */
function usedBytes(): number {
  (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const campaign = new GossipCampaign(seed);
const startMs = performance.now();
let before: number | undefined;
for (let done = 0; done < packets; ) {
  const next = Math.min(ROUND, packets - done);
  campaign.run(next);
  done += next;
  if (before === undefined && done >= packets / 10) before = usedBytes();
  if (done % (10 * ROUND) === 0)
    process.stdout.write(`${done} packets, ${Math.round((usedBytes() / 1_048_576) * 10) / 10} MB\n`);
}
const grown = usedBytes() - (before ?? 0);
const { counted, dropped, lives, maxLives, requests } = campaign.summary;
process.stdout.write(
  `${packets} packets and ${requests} requests, ${counted} counted, each once; dropped: ${JSON.stringify(Object.fromEntries(dropped))}\n`,
);
process.stdout.write(
  `${lives} senders remembered (${maxLives} at most), memory ${grown > 0 ? "+" : ""}${Math.round(grown / 1_024)} KiB since the first tenth, ${((performance.now() - startMs) / 1_000).toFixed(1)} s\n`,
);
if (grown > GROWTH_BYTES) process.exitCode = 1;
