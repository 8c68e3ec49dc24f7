// Nodes on a machine with too little CPU: their answers come seconds late, but the nodes are alive.

import { ALL_NODES, SeededRandom, SimulatedCluster, SimulatedMachine } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { A, B, GossipRig } from "../../test/gossip-rig.js";
import { simulatedGossip } from "../../test/simulated-gossip.js";

const NODES = 8;
/** The first nodes have all the CPU that they need; the others share a machine. */
const FAST = 4;
/** Keys that change in the cluster per second. */
const CHANGES = 100;
const ENOUGH = 2;
/** Share of one processor that four nodes get: answers take more than a second, and clocks nearly stand still. */
const TOO_LITTLE = 0.03;

interface Busy {
  readonly cluster: SimulatedCluster;
  readonly slow: SimulatedMachine;
  /** Each observer with the node that it declared unreachable. */
  readonly lost: string[];
}

/** Starts a cluster and lets it converge before CPU becomes scarce. */
function startBusy(keys: boolean): Busy {
  const lost: string[] = [];
  const machines: SimulatedMachine[] = [];
  let started = 0;
  const cluster = new SimulatedCluster({
    random: new SeededRandom(1),
    create: simulatedGossip({
      keys,
      machine: (clock) => (machines[started++ < FAST ? 0 : 1] ??= new SimulatedMachine(clock, ENOUGH)),
    }),
    onNotified: (observer, what, id) => {
      if (what === "unreachable") lost.push(`${observer}: ${id}`);
    },
  });
  for (let i = 0; i < NODES; i++) cluster.start(`n${i}`, [ALL_NODES]);
  expect(cluster.runUntilConverged(20_000)).toBeDefined();
  // Until all addresses are validated.
  cluster.run(10_000);
  const [, slow] = machines;
  if (slow === undefined) throw new Error("no second machine");
  return { cluster, slow, lost };
}

/** Changes keys for some time. */
function change(cluster: SimulatedCluster, ms: number): void {
  const lives = [...cluster.alive.values()];
  for (let i = 0; i < (ms / 1_000) * CHANGES; i++) {
    const life = lives[i % lives.length];
    if (life !== undefined) cluster.set(life, `endpoint:${i}`, "1");
    cluster.run(1_000 / CHANGES);
  }
}

describe.each([
  ["plain", false],
  ["encrypted", true],
] as const)("a cluster with too little CPU and %s gossip", (_how, keys) => {
  it("declares no node unreachable, and converges as soon as it has enough CPU again", () => {
    const { cluster, slow, lost } = startBusy(keys);
    slow.processors = TOO_LITTLE;
    change(cluster, 10_000);
    expect(cluster.difference()).toBeDefined();
    slow.processors = ENOUGH;
    expect(cluster.runUntilConverged(2_000)).toBeDefined();
    expect(lost).toEqual([]);
    cluster.close();
  });

  it("detects a dead node as fast as ever", () => {
    const { cluster, slow, lost } = startBusy(keys);
    slow.processors = TOO_LITTLE;
    change(cluster, 5_000);
    const victim = cluster.alive.get(`n${NODES - 1}`);
    if (victim === undefined) throw new Error("no victim");
    cluster.crash(victim, "host");
    const fast = Array.from({ length: FAST }, (_, i) => `n${i}: ${victim.id}`);
    expect(cluster.run(3_000, () => fast.every((each) => lost.includes(each)))).toBe(true);
    expect(lost.filter((each) => !each.endsWith(victim.id))).toEqual([]);
    cluster.close();
  });
});

describe("changes of a node", () => {
  /** Mean time until another node sees a change when the changing node's timers are late. */
  function meanSpreadMs(lateMs: number): number {
    const rig = new GossipRig();
    const clock = {
      now: () => rig.clock.now(),
      setTimeout: (callback: () => void, ms: number) => rig.clock.setTimeout(callback, ms + lateMs),
      clearTimeout: rig.clock.clearTimeout.bind(rig.clock),
    };
    const a = rig.startNode("a", A, [], { clock });
    const b = rig.startNode("b", B, [`${A}:8003`]);
    rig.clock.run(2_000);
    let sumMs = 0;
    for (let i = 0; i < 50; i++) {
      rig.clock.run(200 + 7 * i);
      a.gossip.upsertLocal("endpoint:x", `${i}`);
      for (; b.view.nodes.get("a")?.keys.get("endpoint:x") !== `${i}`; sumMs++) rig.clock.run(1);
    }
    return sumMs / 50;
  }

  it("are sent between rounds, unless late timers show that the node is short of CPU: then they wait for a round", () => {
    expect(meanSpreadMs(0)).toBeLessThan(20);
    // One of the two nodes starts a round every 60 ms; sent between rounds, only as late as its timer, a change would take 25 ms.
    expect(meanSpreadMs(30)).toBeGreaterThan(32);
  });
});

it("nodes whose timers are late wait correspondingly longer for answers", () => {
  const rig = new GossipRig();
  const late = {
    now: () => rig.clock.now(),
    setTimeout: (callback: () => void, ms: number) => rig.clock.setTimeout(callback, ms + 150),
    clearTimeout: rig.clock.clearTimeout.bind(rig.clock),
  };
  const nodes = Array.from({ length: 16 }, (_, i) =>
    rig.startNode(`n${i}`, `10.0.0.${i + 1}`, i === 0 ? [] : ["10.0.0.1:8003"], { clock: late }),
  );
  rig.clock.run(10_000);
  // Answers take seconds, too, as they do when CPU is scarce.
  rig.network.conditions.delayMs = [900, 1_100];
  rig.clock.run(30_000);
  for (const { notified } of nodes)
    expect(notified.filter((what) => what.startsWith("unreachable"))).toEqual([]);
});
