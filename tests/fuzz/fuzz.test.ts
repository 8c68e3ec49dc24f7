// A short campaign with a new seed each time; set PIKO_FUZZ_SEED to repeat one. `npm run fuzz` runs long ones.

import { expect, it } from "vitest";
import { runCampaign } from "./campaign.js";

const SECONDS = 10;
const ENOUGH_CASES = 200_000;

it("Node's parser agrees with what is accepted and forwarded", async () => {
  const seed = Number(process.env["PIKO_FUZZ_SEED"] ?? Date.now() % 1_000_000_000);
  const untilMs = performance.now() + SECONDS * 1_000;
  const { cases, disagreements, messages } = await runCampaign({
    seed,
    cases: ENOUGH_CASES,
    stop: () => performance.now() >= untilMs,
  });
  expect(disagreements.join("\n")).toBe("");
  // If everything were refused, the result would prove nothing.
  expect(messages).toBeGreaterThan(cases / 10);
});
