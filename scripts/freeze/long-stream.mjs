// Streams through a tunnel that is in doubt nearly all the time: its agent is stopped for most of every few seconds, so new requests
// wait for it, but it is alive. Responses that have begun must be complete.

import { Findings } from "./findings.mjs";
import { startHome } from "./home-stand.mjs";
import { Load } from "./load.mjs";
import { pause, Stand } from "./stand.mjs";

const STREAMS = 5;
/** Short enough that pings are answered within ten seconds; otherwise, the tunnel would be closed. */
const STOPPED_MS = 5_000;
const RUNNING_MS = 700;

/** @param {import("./stand.mjs").Options} options */
export async function longStream(options) {
  return watch(options, await Stand.start(options));
}

/**
 * The same without another agent.
 * @param {import("./stand.mjs").Options} options
 */
export async function longStreamHome(options) {
  return watch(options, await startHome(options));
}

/**
 * @param {import("./stand.mjs").Options} options
 * @param {Stand} stand
 */
async function watch({ rate, seconds }, stand) {
  const [agent] = stand.agents;
  const [node] = stand.nodes;
  const load = new Load(stand.proxies, { get: rate / 4 });
  // The agent's tunnel is to this node.
  for (let i = 0; i < STREAMS; i++) void load.ask("slow", { seconds, target: node?.proxy ?? "" });
  const streams = load.asked.filter(({ kind }) => kind === "slow");
  await pause(RUNNING_MS);
  while (streams.some(({ endMs }) => endMs === undefined)) {
    agent?.signal("SIGSTOP");
    await pause(STOPPED_MS);
    agent?.signal("SIGCONT");
    await pause(RUNNING_MS);
  }
  const asked = await load.stop();
  await stand.stop();
  const findings = new Findings();
  const { failed } = findings.count(asked, load.longestStallMs);
  const cut = failed.filter(({ kind }) => kind === "slow").length;
  findings.promise(cut === 0, `${cut} of ${STREAMS} streams of ${seconds} s were cut`);
  findings.promise(failed.length === cut, `${failed.length - cut} other requests failed`);
  findings.latency("streams", streams);
  findings.latency(
    "other requests",
    asked.filter(({ kind }) => kind === "get"),
  );
  findings.addComplaints([...stand.nodes.map(({ program }) => program), ...stand.agents]);
  return findings;
}
