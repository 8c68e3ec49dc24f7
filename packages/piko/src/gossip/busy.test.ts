// Nodes on a machine that has too little CPU: their answers come seconds late, and they are no less alive.

import { EVERYBODY, SeededRandom, SimulatedCluster, SimulatedMachine } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { A, B, GossipRig } from "../../test/gossip-rig.js";
import { simulatedGossip } from "../../test/simulated-gossip.js";

const NODES = 8;
/** The first of them have all the CPU that they need, the others share a machine. */
const FAST = 4;
/** Changed keys of the cluster, each second. */
const CHANGES = 100;
const ENOUGH = 2;
/** Part of one processor that four nodes share: answers take more than a second, clocks hardly stand still. */
const TOO_LITTLE = 0.03;

interface Busy {
  readonly cluster: SimulatedCluster;
  readonly slow: SimulatedMachine;
  /** Who took whom for dead. */
  readonly lost: string[];
}

/** A cluster that has come to know itself, before CPU is short. */
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
    onTold: (observer, what, id) => {
      if (what === "unreachable") lost.push(`${observer}: ${id}`);
    },
  });
  for (let i = 0; i < NODES; i++) cluster.start(`n${i}`, [EVERYBODY]);
  expect(cluster.runUntilConverged(20_000)).toBeDefined();
  // Until all addresses are known to be real.
  cluster.run(10_000);
  const [, slow] = machines;
  if (slow === undefined) throw new Error("no second machine");
  return { cluster, slow, lost };
}

/** Lets keys change for some time. */
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
  it("takes nobody for dead, and is right as soon as it has enough again", () => {
    const { cluster, slow, lost } = startBusy(keys);
    slow.processors = TOO_LITTLE;
    change(cluster, 10_000);
    expect(cluster.difference()).toBeDefined();
    slow.processors = ENOUGH;
    expect(cluster.runUntilConverged(2_000)).toBeDefined();
    expect(lost).toEqual([]);
    cluster.close();
  });

  it("finds out as fast as ever that a node is dead", () => {
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
  /** Mean time until another node has a change, where the timers of the node that makes it are late. */
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

  it("are told out of turn, unless its timers say that it is short of CPU: then they wait for a round", () => {
    expect(meanSpreadMs(0)).toBeLessThan(20);
    // A round of one of the two comes every 60 ms; out of turn, and as late as its timer, it would be 25 ms.
    expect(meanSpreadMs(30)).toBeGreaterThan(32);
  });
});

it("nodes whose timers are late wait for answers as much longer", () => {
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
  // Answers take seconds, too, as they do where CPU is short.
  rig.network.conditions.delayMs = [900, 1_100];
  rig.clock.run(30_000);
  for (const { told } of nodes) expect(told.filter((what) => what.startsWith("unreachable"))).toEqual([]);
});
