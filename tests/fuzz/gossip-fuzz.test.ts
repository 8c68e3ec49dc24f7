import { expect, it } from "vitest";
import { GossipCampaign } from "./gossip-campaign.js";

const REASONS = ["plain", "replay", "malformed"] as const;

// `npm run fuzz -- gossip --packets 10000000` runs millions of packets.
it("encrypted gossip accepts each message of a member once, and nothing else", () => {
  const first = Number(process.env["SEED"] ?? Date.now() % 1_000_000_000);
  const sums = { counted: 0, requests: 0, plain: 0, replay: 0, malformed: 0 };
  // Several short campaigns: if a clock goes astray early in one, it accepts next to nothing.
  for (let seed = first; seed < first + 10; seed++) {
    const campaign = new GossipCampaign(seed);
    try {
      campaign.run(2_000);
    } catch (error) {
      throw new Error(`SEED=${seed}: ${String(error)}`, { cause: error });
    }
    const { counted, dropped, requests } = campaign.summary;
    sums.counted += counted;
    sums.requests += requests;
    for (const reason of REASONS) sums[reason] += dropped.get(reason) ?? 0;
  }
  const minimums = { counted: 1_000, requests: 50, plain: 100, replay: 100, malformed: 100 };
  for (const name of ["counted", "requests", ...REASONS] as const)
    expect([name, sums[name] >= minimums[name]], `SEED=${first}`).toEqual([name, true]);
});
