// Tunnels and nodes that stop responding under load, for seconds: `npm run freeze` has more such scenarios, for minutes.

import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { run } from "../harness/tools.js";
import { PIKO } from "../harness/piko.js";

const FREEZE = fileURLToPath(new URL("../../scripts/freeze.mjs", import.meta.url));

/** The scenarios wait for programs longer than tests do. */
const PATIENCE_MS = 240_000;

/** Runs a scenario of `npm run freeze` at a rate that leaves CPU time to other tests; returns its output. */
async function freeze(...args: readonly string[]): Promise<string> {
  const all = [FREEZE, ...args, "--rate=50", `--against=${PIKO}`];
  const { stdout, stderr } = await run(process.execPath, all, { ms: PATIENCE_MS });
  return stdout + stderr;
}

describe.skipIf(process.platform !== "linux")("a process that stands still under load", () => {
  it.concurrent(
    "costs no request if it is one of two agents: requests go to the other one",
    async () => {
      // The pause is longer than any request may take.
      expect(await freeze("agent", "--seconds=8", "--late=6")).toContain("every promise was kept");
    },
    PATIENCE_MS,
  );

  it.concurrent(
    "costs no request, and no POST, if it is a node that soon continues",
    async () => {
      expect(await freeze("node", "--seconds=4")).toContain("every promise was kept");
    },
    PATIENCE_MS,
  );
});
