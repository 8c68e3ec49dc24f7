// Tunnels and nodes that fall silent under load, in seconds: `npm run freeze` has more of them, and minutes.

import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { run } from "../harness/tools.js";
import { PIKO } from "../harness/piko.js";

const FREEZE = fileURLToPath(new URL("../../scripts/freeze.mjs", import.meta.url));

/** It waits for programs longer than tests do. */
const PATIENCE_MS = 240_000;

/** Runs a scenario of `npm run freeze`, at a rate that leaves the machine to other tests; returns what it says. */
async function freeze(...args: readonly string[]): Promise<string> {
  const all = [FREEZE, ...args, "--rate=50", `--against=${PIKO}`];
  const { stdout, stderr } = await run(process.execPath, all, { ms: PATIENCE_MS });
  return stdout + stderr;
}

describe.skipIf(process.platform !== "linux")("a process that stands still under load", () => {
  it.concurrent(
    "costs no request if it is one of two agents: they go to the other one",
    async () => {
      // For longer than anybody may wait.
      expect(await freeze("agent", "--seconds=8", "--late=6")).toContain("every promise was kept");
    },
    PATIENCE_MS,
  );

  it.concurrent(
    "costs no request, and no POST, if it is a node that soon goes on",
    async () => {
      expect(await freeze("node", "--seconds=4")).toContain("every promise was kept");
    },
    PATIENCE_MS,
  );
});
