// Whoever is needed stands still for a moment: a node, or both agents. Everybody waits, and nothing is lost.

import { Findings } from "./findings.mjs";
import { Load } from "./load.mjs";
import { pause, Stand } from "./stand.mjs";

const WARM_UP_MS = 3_000;
const AFTER_MS = 3_000;

/** @param {import("./stand.mjs").Options} options */
export async function frozenNode(options) {
  return watch(options, ({ nodes }) => nodes.slice(0, 1).map(({ program }) => program));
}

/** @param {import("./stand.mjs").Options} options */
export async function frozenAgents(options) {
  return watch(options, ({ agents }) => agents);
}

/**
 * @param {import("./stand.mjs").Options} options
 * @param {(stand: Stand) => import("./programs.mjs").Program[]} choose
 */
async function watch({ piko, rate, seconds }, choose) {
  const stand = await Stand.start({ piko });
  const frozen = choose(stand);
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
  findings.said([...stand.nodes.map(({ program }) => program), ...stand.agents]);
  return findings;
}
