// Rolling restarts of nodes that get little CPU time, behind a load balancer, with agents that get just as little.

import { startBalancer } from "./balancer.mjs";
import { startLoad } from "./busy-machine.mjs";
import { CpuGroup, SHARES } from "./cpu-groups.mjs";
import { Findings } from "./findings.mjs";
import { Load } from "./load.mjs";
import { pause, Stand } from "./stand.mjs";

const RESTARTS = 5;
const QUOTA = 0.2;
const SETTLE_MS = 3_000;

/** @param {import("./stand.mjs").Options} options */
export async function rollingQuota(options) {
  return roll(options, { quota: QUOTA }, { quota: QUOTA }, false);
}

/**
 * The same with one agent.
 * @param {import("./stand.mjs").Options} options
 */
export async function rollingHome(options) {
  return roll(options, { quota: QUOTA }, { quota: QUOTA }, false, [0]);
}

/**
 * The whole machine is busy with other programs. Requests fail in that case; the scenario reports how many, and promises nothing.
 * @param {import("./stand.mjs").Options} options
 */
export async function rollingBusy(options) {
  return roll(options, { shares: SHARES.node }, { shares: SHARES.none }, true);
}

/**
 * @param {import("./stand.mjs").Options} options
 * @param {{ quota?: number, shares?: number }} nodeLimits
 * @param {{ quota?: number, shares?: number }} agentLimits
 * @param {boolean} busy
 * @param {readonly number[]} [agents]
 */
async function roll({ piko, rate }, nodeLimits, agentLimits, busy, agents = [0, 1]) {
  const group = CpuGroup.create();
  if (typeof group === "string") return group;
  /** @type {Stand | undefined} */
  let stand;
  /** @type {ReturnType<typeof startBalancer> | undefined} */
  let balancer;
  /** @type {ReturnType<typeof startLoad> | undefined} */
  let others;
  // The load generator, the balancer and the services aren't what is measured.
  const restore = group.favorThisProcess();
  try {
    let started = 0;
    /** @type {CpuGroup[]} */
    const groups = [];
    const place = (/** @type {string} */ name, /** @type {{ quota?: number, shares?: number }} */ limits) => {
      const inner = group.add(`${name}-${started++}`, limits);
      groups.push(inner);
      return inner.prefix;
    };
    stand = await Stand.startNodes({
      piko,
      nodePrefix: (index) => place(`node-${index}`, nodeLimits),
      agentPrefix: (index) => place(`agent-${index}`, agentLimits),
    });
    balancer = startBalancer(stand);
    const [proxy, upstream] = [await balancer.proxy, await balancer.upstream];
    for (const index of agents) await stand.startAgent(index, upstream);
    await stand.untilServing();
    if (busy) others = startLoad(place("load", { shares: 1_024 }));
    const load = new Load([proxy], { get: rate, post: rate * 0.3, slow: rate / 50 });
    await pause(SETTLE_MS);
    for (let i = 0; i < RESTARTS; i++) await restartAll(stand);
    await pause(SETTLE_MS);
    const asked = await load.stop();
    const findings = new Findings();
    findings.add("restarts", `${RESTARTS} of three nodes each`);
    const { failed } = findings.count(asked, load.longestStallMs);
    findings.promise(busy || failed.length === 0, `${failed.length} requests failed`);
    findings.latency("all", asked);
    const held = groups.map(({ throttled }) => throttled);
    const sum = (/** @type {"periods" | "throttled"} */ key) =>
      held.reduce((all, each) => all + each[key], 0);
    if (!busy) findings.add("quota", `used up in ${sum("throttled")} of ${sum("periods")} periods`);
    findings.addComplaints(stand.agents);
    return findings;
  } finally {
    await others?.stop();
    await stand?.stop();
    balancer?.stop();
    restore();
    group.remove();
  }
}

/** @param {Stand} stand */
async function restartAll(stand) {
  for (let i = 0; i < stand.nodes.length; i++) {
    const [old] = stand.nodes.splice(0, 1);
    // The load balancer polls it until it has ended, and uses it as long as it is ready.
    if (old !== undefined) stand.leaving.push(old);
    await old?.program.stop();
    stand.leaving.length = 0;
    stand.nodes.push(await stand.startNode(i));
    await stand.untilComplete();
    await pause(SETTLE_MS);
  }
}
