// One agent, and one of the two nodes that it has tunnels to is frozen: clients of the others notice nothing.

import { startBalancer } from "./balancer.mjs";
import { Findings } from "./findings.mjs";
import { Load } from "./load.mjs";
import { pause, Stand, until } from "./stand.mjs";

const WARM_UP_MS = 3_000;
const AFTER_MS = 3_000;

/** @param {import("./stand.mjs").Options} options */
export async function frozenHome({ late, piko, rate, seconds }) {
  const stand = await Stand.startNodes({ piko });
  const balancer = startBalancer(stand);
  try {
    await stand.startAgent(0, await balancer.upstream);
    const [agent] = stand.agents;
    const connected = () => agent?.records.filter(({ msg }) => msg === "connected") ?? [];
    await until(() => connected().length === 2, "tunnels to two nodes");
    await stand.isServing();
    const id = connected()[0]?.["node-id"];
    const frozen = stand.nodes.find(({ name }) => id.startsWith(`${name.replace(" ", "-")}-`));
    const living = stand.nodes.filter((node) => node !== frozen);
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
    findings.promise(gets.length === 0, `${gets.length} requests failed that may be repeated`);
    for (const kind of ["get", "post"]) {
      const lateMs = findings.latency(
        kind,
        asked.filter((each) => each.kind === kind),
      );
      // A POST that the frozen node has may wait for it.
      if (kind === "get") {
        findings.promise(lateMs < late * 1_000, `a request was ${Math.round(lateMs)} ms late`);
      }
    }
    findings.said([...stand.nodes.map(({ program }) => program), ...stand.agents]);
    return findings;
  } finally {
    balancer.stop();
    await stand.stop();
  }
}
