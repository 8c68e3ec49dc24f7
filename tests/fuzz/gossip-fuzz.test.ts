import { expect, it } from "vitest";
import { GossipCampaign } from "./gossip-campaign.js";

// Millions with `npm run fuzz -- gossip --packets 10000000`.
it("sealed gossip counts what members say, each once, and nothing else", () => {
  const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000_000);
  const campaign = new GossipCampaign(seed);
  try {
    campaign.run(20_000);
  } catch (error) {
    throw new Error(`SEED=${seed}: ${String(error)}`, { cause: error });
  }
  const { counted, dropped, requests } = campaign.summary;
  expect(counted).toBeGreaterThan(3_000);
  expect(requests).toBeGreaterThan(50);
  for (const reason of ["plain", "replay", "malformed"] as const)
    expect(dropped.get(reason)).toBeGreaterThan(100);
});
