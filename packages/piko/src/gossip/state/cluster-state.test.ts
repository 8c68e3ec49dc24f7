import { describe, expect, it } from "vitest";
import { type Entry, LEFT_KEY } from "../wire/messages.js";
import { ClusterState } from "./cluster-state.js";
import { LocalState } from "./local-state.js";
import type { Member } from "./member.js";
import { type GossipLimit, StateBudget } from "./state-budget.js";

const KEY_BYTES = 500;

function createCluster(maxBytes: number): {
  cluster: ClusterState;
  budget: StateBudget;
  limits: GossipLimit[];
  notified: string[];
  join: (id: string) => Member;
  pass: (ms: number) => void;
} {
  let now = 0;
  const limits: GossipLimit[] = [];
  const notified: string[] = [];
  const budget = new StateBudget(maxBytes);
  const cluster = new ClusterState({
    local: new LocalState({ id: "me", compactionThreshold: 100, fits: () => true, initialVersion: 0 }),
    addr: "10.0.0.1:8003",
    intervalMs: 100,
    expiryMs: 60_000,
    now: () => now,
    budget,
    isValidated: () => true,
    onLimit: (limit) => limits.push(limit),
    watch: {
      onUpsert: (id, key) => notified.push(`${id} ${key}`),
      onDelete: (id, key) => notified.push(`${id} -${key}`),
      onLeave: (id) => notified.push(`${id} leaves`),
      onExpired: (id) => notified.push(`${id} expired`),
    },
  });
  const join = (id: string): Member => {
    const member = cluster.learn(id, `${id}:8003`);
    if (member === undefined) throw new Error("no room");
    cluster.answered(member, now);
    return member;
  };
  return { cluster, budget, limits, notified, join, pass: (ms) => void (now += ms) };
}

/** Keys that take {@link KEY_BYTES} each. */
function entries(from: number, count: number, change: Partial<Entry> = {}): Entry[] {
  return Array.from({ length: count }, (_, i) => ({
    key: `endpoint:${from + i}`.padEnd((KEY_BYTES - 400) / 2, "x"),
    value: "",
    version: from + i,
    internal: false,
    deleted: false,
    ...change,
  }));
}

describe("what nodes announce", () => {
  it("takes at most a quarter of the memory per node, and a node above that isn't passed on", () => {
    const { cluster, budget, limits, join } = createCluster(400 * KEY_BYTES);
    const greedy = join("greedy");
    cluster.apply(greedy, entries(1, 150));
    expect(greedy.state.size).toBe(100);
    expect(budget.used).toBe(100 * KEY_BYTES);
    expect(limits).toEqual(Array.from({ length: 50 }, () => "max_state_bytes_per_node"));
    expect(cluster.digest().find(({ id }) => id === "greedy")?.version).toBe(150);
    expect(cluster.deltaFor([{ id: "greedy", addr: greedy.addr, version: 0, left: false }])).toEqual([]);
    expect(cluster.fullDeltaFor(new Map(), "other").map(({ id }) => id)).toEqual(["me"]);
  });

  it("leaves the other nodes their share, up to all of the memory", () => {
    const { cluster, budget, limits, join } = createCluster(400 * KEY_BYTES);
    for (const id of ["a", "b", "c", "d"]) cluster.apply(join(id), entries(1, 100));
    expect(limits).toEqual([]);
    const late = join("late");
    cluster.apply(late, entries(1, 10));
    expect(late.state.size).toBe(0);
    expect(limits).toEqual(Array.from({ length: 10 }, () => "max_state_bytes"));
    expect(budget.used).toBe(budget.maxBytes);
  });

  it("fits again when others are forgotten: the node starts again as a candidate", () => {
    const { cluster, budget, notified, join, pass } = createCluster(400 * KEY_BYTES);
    const many = ["a", "b", "c", "d"].map(join);
    for (const member of many) cluster.apply(member, entries(1, 100));
    const late = join("late");
    cluster.apply(late, entries(1, 10));
    for (const member of many) cluster.unreachable(member);
    notified.length = 0;
    pass(60_000);
    cluster.expire();
    // The states of the dead nodes were released, too.
    expect(budget.used).toBe(0);
    expect(notified).toContain("late expired");
    const again = cluster.find("late");
    if (again === undefined) throw new Error("no candidate");
    expect(again.status).toBe("candidate");
    cluster.answered(again, 60_500);
    cluster.apply(again, entries(1, 11));
    expect(again.state.size).toBe(11);
    expect(budget.used).toBe(11 * KEY_BYTES);
  });

  it("can always be changed to something smaller, and a leaving is always accepted", () => {
    const { cluster, notified, join } = createCluster(400 * KEY_BYTES);
    const greedy = join("greedy");
    cluster.apply(greedy, entries(1, 101));
    notified.length = 0;
    const [first] = entries(1, 1);
    if (first === undefined) throw new Error("no entry");
    cluster.apply(greedy, [{ ...first, value: "longer", version: 200 }]);
    // The key is deleted, because its old value would be wrong.
    expect(notified).toEqual([`greedy -${first.key}`]);
    cluster.apply(greedy, [{ ...first, key: LEFT_KEY, internal: true, version: 201 }]);
    expect(notified.at(-1)).toBe("greedy leaves");
  });

  it("is complete again after the node has dropped what is older", () => {
    const { cluster, join } = createCluster(400 * KEY_BYTES);
    const greedy = join("greedy");
    cluster.apply(greedy, entries(1, 150));
    const marker = { key: "_internal:compact", value: "150", version: 151, internal: true, deleted: false };
    cluster.apply(greedy, [marker, ...entries(152, 20)]);
    expect(greedy.state.size).toBe(21);
    expect(cluster.deltaFor([{ id: "greedy", addr: greedy.addr, version: 0, left: false }])).toHaveLength(1);
  });

  it("doesn't accumulate values that are replaced repeatedly", () => {
    const { cluster, budget, limits, join } = createCluster(10_000_000);
    const member = join("a");
    for (let version = 1; version < 2_000; version++)
      cluster.apply(member, [
        { key: "k", value: `${version}`.padEnd(10_000, "x"), version, internal: false, deleted: false },
      ]);
    expect(limits).toEqual([]);
    expect(budget.used).toBeLessThan(200_000);
  });

  it("is rejected with a version so high that the node could not refute it", () => {
    const { cluster, join } = createCluster(10_000_000);
    const member = join("a");
    for (const version of [2 ** 52, 2 ** 45]) cluster.apply(member, entries(version, 1));
    expect(member.state.version).toBe(0);
    // The time in milliseconds is a valid version, and so are slightly higher ones.
    cluster.apply(member, [...entries(1_800_000_000_000, 1), ...entries(1_800_001_048_576, 1)]);
    expect(member.state.version).toBe(1_800_001_048_576);
  });

  it("leaves room for nodes that contact this one, however many others mention", () => {
    const { cluster, limits } = createCluster(10_000_000);
    for (let i = 0; i < 5_000; i++) cluster.learn(`n${i}`, "10.0.0.2:8003", true);
    expect(cluster.size).toBe(3_072);
    expect(limits).toHaveLength(5_000 - 3_072);
    expect(cluster.learn("real", "10.0.0.3:8003")).toBeDefined();
  });
});
