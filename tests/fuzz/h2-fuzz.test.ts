import { expect, it } from "vitest";
import { H2Campaign } from "./h2-campaign.js";

// `npm run fuzz -- h2 --frames 10000000` runs millions of frames.
it("whatever HTTP/2 frames arrive, each request ends once, no memory is held, and others are still served", () => {
  const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000_000);
  const campaign = new H2Campaign(seed);
  try {
    campaign.run(20_000);
  } catch (error) {
    throw new Error(`SEED=${seed}: ${String(error)}`, { cause: error });
  }
  const { answered, lost, requests } = campaign.summary;
  expect([requests > 100, answered > 100, lost > 100], `SEED=${seed}`).toEqual([true, true, true]);
});
