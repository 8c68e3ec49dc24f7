// One of two machines has no CPU time to spare. Each machine is one core of this one. On each, a node and an agent run with the CPU
// shares of containers in Kubernetes. On the first one, other processes use all the CPU time that they can get.

import { spawn, spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { CpuGroup, SHARES } from "./cpu-groups.mjs";
import { Findings } from "./findings.mjs";
import { startHome } from "./home-stand.mjs";
import { Load, nowMs } from "./load.mjs";
import { pause, Stand } from "./stand.mjs";

const WARM_UP_MS = 5_000;
const AFTER_MS = 5_000;
const BUSY = 0;
/** Number of processes that use all the CPU time that they can get, in a container that requests one core. */
const LOAD = 20;
const LOAD_SHARES = 1_024;
/** The machine that isn't busy has CPU time, whatever else runs here. */
const IDLE_SHARES = 16_384;

/**
 * Agents that request no CPU, which is the default in Kubernetes.
 * @param {import("./stand.mjs").Options} options
 */
export async function busyMachine(options) {
  return watch(options, SHARES.none, (places) => Stand.start(places));
}

/** @param {import("./stand.mjs").Options} options */
export async function busyMachineAgentsAsk(options) {
  return watch(options, SHARES.agent, (places) => Stand.start(places));
}

/**
 * One agent, on the machine that isn't busy, with a tunnel to the node on the busy one.
 * @param {import("./stand.mjs").Options} options
 */
export async function busyHome(options) {
  return watch(options, SHARES.none, startHome, () => 1);
}

/**
 * @param {import("./stand.mjs").Options} options
 * @param {number} agentShares
 * @param {(places: import("./stand.mjs").Places) => Promise<Stand>} start
 * @param {(index: number) => number} [machineOf] an agent
 */
async function watch({ piko, rate, seconds }, agentShares, start, machineOf = (index) => index) {
  const core = (/** @type {number} */ machine) => ["taskset", "-c", `${machine % availableParallelism()}`];
  if (spawnSync("taskset", ["-V"]).status !== 0) return "there is no taskset (util-linux)";
  const group = CpuGroup.create();
  if (typeof group === "string") return group;
  /** @type {ReturnType<typeof startLoad> | undefined} */
  let others;
  /** @type {Stand | undefined} */
  let stand;
  try {
    const machines = [
      group.add("machine-0", { shares: LOAD_SHARES }),
      group.add("machine-1", { shares: IDLE_SHARES }),
    ];
    const place = (
      /** @type {number} */ machine,
      /** @type {string} */ name,
      /** @type {number} */ shares,
    ) => [...(machines[machine]?.add(name, { shares }).prefix ?? []), ...core(machine)];
    stand = await start({
      piko,
      nodePrefix: (index) => place(index === BUSY ? BUSY : 1, `node-${index}`, SHARES.node),
      agentPrefix: (index) => place(machineOf(index), `agent-${index}`, agentShares),
    });
    const load = new Load(stand.proxies, { get: rate, slow: rate / 50 });
    await pause(WARM_UP_MS);
    others = startLoad(place(BUSY, "load", LOAD_SHARES));
    const busyMs = nowMs();
    await pause(seconds * 1_000);
    await others.stop();
    const idleMs = nowMs();
    await pause(AFTER_MS);
    const asked = await load.stop();
    const arrivals = await stand.services.arrivals();

    const findings = new Findings();
    const { failed } = findings.count(asked, load.longestStallMs);
    findings.promise(failed.length === 0, `${failed.length} requests failed`);
    const during = asked.filter(({ startMs }) => startMs >= busyMs && startMs < idleMs);
    findings.latency("while busy", during);
    if (machineOf(BUSY) === BUSY) {
      const through = new Set(arrivals.filter(({ agent }) => agent === BUSY).map(({ id }) => id));
      const share = during.filter(({ id }) => through.has(id)).length / during.length;
      findings.add("starved agent", `served ${(share * 100).toFixed(1)} % of them`);
    }
    findings.addComplaints([...stand.nodes.map(({ program }) => program), ...stand.agents]);
    return findings;
  } finally {
    await others?.stop();
    await stand?.stop();
    group.remove();
  }
}

/** @param {string[]} prefix */
export function startLoad(prefix) {
  const tool = spawnSync("stress-ng", ["--version"]).status === 0;
  // A process group of its own, so that one signal ends it.
  const command = tool
    ? ["stress-ng", "--cpu", `${LOAD}`, "--quiet"]
    : ["sh", "-c", `for i in $(seq ${LOAD}); do (while :; do :; done) & done; wait`];
  const [file = "", ...args] = [...prefix, ...command];
  const child = spawn(file, args, { stdio: "ignore", detached: true });
  const kill = () => {
    try {
      process.kill(-(/** @type {number} */ (child.pid)), "SIGKILL");
    } catch {
      // It has already ended.
    }
  };
  const ended = new Promise((resolve) => child.once("exit", resolve));
  // Control groups can only be removed when they are empty.
  process.prependOnceListener("exit", kill);
  return {
    async stop() {
      kill();
      await ended;
      process.off("exit", kill);
    },
  };
}
