// One agent with tunnels to two nodes. One of these is frozen, or the network path to it drops everything.

import { Findings } from "./findings.mjs";
import { startHome } from "./home-stand.mjs";
import { Load, nowMs } from "./load.mjs";
import { pause } from "./stand.mjs";
import { SwallowingPath } from "./swallowing-path.mjs";

const WARM_UP_MS = 3_000;
const AFTER_MS = 3_000;
/** Index of one of the agent's two nodes. */
const HOME = 0;
/** A request that reached the service this long before, and was never answered, was on its way when the path became silent. */
const SWALLOWED_MS = 1_000;

/**
 * The node is frozen. Clients of the other nodes notice nothing.
 * @param {import("./stand.mjs").Options} options
 */
export async function frozenHome({ late, piko, rate, seconds }) {
  const stand = await startHome({ piko });
  try {
    const [frozen, ...living] = stand.nodes;
    const load = new Load(
      living.map(({ proxy }) => proxy),
      { get: rate, post: rate * 0.3 },
    );
    await pause(WARM_UP_MS);
    frozen?.program.signal("SIGSTOP");
    await pause(seconds * 1_000);
    frozen?.program.signal("SIGCONT");
    await pause(AFTER_MS);
    const asked = await load.stop();
    const findings = new Findings();
    const { failed } = findings.count(asked, load.longestStallMs);
    const gets = failed.filter(({ kind }) => kind === "get");
    findings.promise(gets.length === 0, `${gets.length} requests failed that can be retried`);
    for (const kind of ["get", "post"]) {
      const lateMs = findings.latency(
        kind,
        asked.filter((each) => each.kind === kind),
      );
      // A POST that the frozen node has received may wait for it.
      if (kind === "get") {
        findings.promise(lateMs < late * 1_000, `a request was ${Math.round(lateMs)} ms late`);
      }
    }
    findings.addComplaints([...stand.nodes.map(({ program }) => program), ...stand.agents]);
    return findings;
  } finally {
    await stand.stop();
  }
}

/**
 * The path between the node and the agent drops everything. Requests of clients of all nodes use the other tunnel.
 * @param {import("./stand.mjs").Options} options
 */
export async function silentHome({ late, piko, rate, seconds }) {
  const path = SwallowingPath.create();
  if (typeof path === "string") return path;
  try {
    const stand = await startHome({
      piko,
      nodeHost: (index) => (index === HOME ? path.guest : path.host),
      nodePrefix: (index) => (index === HOME ? path.prefix : []),
    });
    try {
      const load = new Load(stand.proxies, { get: rate, slow: rate / 50 });
      await pause(WARM_UP_MS);
      path.swallow(Number(stand.nodes[HOME]?.upstream.split(":")[1]));
      const silentMs = nowMs();
      await pause(seconds * 1_000);
      path.heal();
      const healedMs = nowMs();
      await pause(AFTER_MS);
      const asked = await load.stop();
      const arrivals = new Map((await stand.services.arrivals()).map(({ atMs, id }) => [id, atMs]));

      const findings = new Findings();
      const { unanswered } = findings.count(asked, load.longestStallMs);
      findings.promise(
        unanswered.length === 0,
        `${unanswered.length} requests failed whose response had not begun`,
      );
      const during = asked.filter(({ endMs = 0, startMs }) => endMs > silentMs && startMs < healedMs);
      const swallowed = ({ endMs = 0, id, ownMs }) =>
        (arrivals.get(id) ?? endMs) < Math.min(silentMs, endMs - ownMs - SWALLOWED_MS);
      const lateMs = findings.latency(
        "not swallowed",
        during.filter((each) => !swallowed(each)),
      );
      findings.promise(lateMs < late * 1_000, `a request was ${Math.round(lateMs)} ms late`);
      findings.latency("swallowed", during.filter(swallowed));
      findings.addComplaints([...stand.nodes.map(({ program }) => program), ...stand.agents]);
      return findings;
    } finally {
      await stand.stop();
    }
  } finally {
    path.remove();
  }
}
