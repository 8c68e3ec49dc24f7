// A node, or all agents, are frozen for a moment. Requests wait, and none is lost.

import { Findings } from "./findings.mjs";
import { startHome } from "./home-stand.mjs";
import { Load } from "./load.mjs";
import { pause, Stand } from "./stand.mjs";

const WARM_UP_MS = 3_000;
const AFTER_MS = 3_000;

/** @param {import("./stand.mjs").Options} options */
export async function frozenNode(options) {
  const stand = await Stand.start(options);
  return watch(
    options,
    stand,
    stand.nodes.slice(0, 1).map(({ program }) => program),
  );
}

/** @param {import("./stand.mjs").Options} options */
export async function frozenAgents(options) {
  const stand = await Stand.start(options);
  return watch(options, stand, stand.agents);
}

/** @param {import("./stand.mjs").Options} options */
export async function frozenOnlyAgent(options) {
  const stand = await startHome(options);
  return watch(options, stand, stand.agents);
}

/**
 * @param {import("./stand.mjs").Options} options
 * @param {Stand} stand
 * @param {import("./programs.mjs").Program[]} frozen
 */
async function watch({ rate, seconds }, stand, frozen) {
  const load = new Load(stand.proxies, { get: rate, post: rate * 0.3, slow: rate / 50 });
  await pause(WARM_UP_MS);
  for (const program of frozen) program.signal("SIGSTOP");
  await pause(seconds * 1_000);
  for (const program of frozen) program.signal("SIGCONT");
  await pause(AFTER_MS);
  const asked = await load.stop();
  await stand.stop();
  const findings = new Findings();
  const { failed } = findings.count(asked, load.longestStallMs);
  findings.promise(failed.length === 0, `${failed.length} requests failed`);
  findings.latency("all", asked);
  findings.addComplaints([...stand.nodes.map(({ program }) => program), ...stand.agents]);
  return findings;
}
