// What other nodes, ours and Go nodes, learn about endpoints that are draining or doubtful here. The second half runs on the
// simulated network, with real gossip between the nodes.

import { ALL_NODES, SeededRandom, SimulatedCluster } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { Gossip } from "../../gossip/gossip.js";
import { createSilentLogger } from "../../../test/silent-logger.js";
import { Announcements } from "./announcements.js";
import { ClusterTable, NODE_DOUBTFUL, NODE_HEALTHY } from "./cluster-table.js";
import { announceNode, watchCluster } from "./gossip-sync.js";

const PLAIN = "endpoint:e";
const DOUBT = "_piko:doubt:e";

function create() {
  const keys = new Map<string, string>();
  const log: string[] = [];
  const local = {
    upsertLocal: (key: string, value: string) => {
      if (keys.get(key) !== value) log.push(`+${key}`);
      keys.set(key, value);
    },
    deleteLocal: (key: string) => {
      if (keys.delete(key)) log.push(`-${key}`);
    },
  };
  const table = new ClusterTable(() => 0);
  table.join("other");
  table.setAddress("other", "proxyAddr", "other:1");
  table.setAddress("other", "adminAddr", "other:2");
  const announcements = new Announcements({ keys: local, table, logger: createSilentLogger(), now: () => 0 });
  /** Sets what the other node announces about its listeners. */
  const other = (count: number, doubt: number): void => {
    table.setListeners("other", "e", count);
    table.setDoubt("other", "e", doubt);
    announcements.onOtherChanged("e");
  };
  return { announcements, keys, log, other, table, announced: () => Object.fromEntries(keys) };
}

describe("an endpoint in doubt", () => {
  it("is announced as doubtful, and under its plain key as long as no other node is healthy for it", () => {
    const { announcements, other, announced } = create();
    announcements.set("e", { count: 2, doubtful: false });
    expect(announced()).toEqual({ [PLAIN]: "2" });
    announcements.set("e", { count: 2, doubtful: true });
    expect(announced()).toEqual({ [PLAIN]: "2", [DOUBT]: "2" });
    other(1, 1);
    expect(announced()).toEqual({ [PLAIN]: "2", [DOUBT]: "2" });
    other(1, 0);
    expect(announced()).toEqual({ [DOUBT]: "2" });
    other(0, 1);
    expect(announced()).toEqual({ [PLAIN]: "2", [DOUBT]: "2" });
    other(1, 0);
    other(0, 0);
    expect(announced()).toEqual({ [PLAIN]: "2", [DOUBT]: "2" });
  });

  it("always has one of its keys while it becomes doubtful or recovers", () => {
    const { announcements, log, other } = create();
    other(1, 0);
    announcements.set("e", { count: 1, doubtful: false });
    announcements.set("e", { count: 1, doubtful: true });
    announcements.set("e", { count: 1, doubtful: false });
    expect(log).toEqual([`+${PLAIN}`, `+${DOUBT}`, `-${PLAIN}`, `+${PLAIN}`, `-${DOUBT}`]);
    announcements.set("e", { count: 1, doubtful: true });
    announcements.set("e", { count: 0, doubtful: false });
    expect(log.slice(5)).toEqual([`+${DOUBT}`, `-${PLAIN}`, `-${DOUBT}`]);
  });

  it("has no plain key on a draining node while another node is healthy for it", () => {
    const { announcements, other, announced, table } = create();
    announcements.set("e", { count: 1, doubtful: false });
    other(1, 0);
    announcements.drain();
    expect(announced()).toEqual({});
    announcements.set("e", { count: 1, doubtful: true });
    expect(announced()).toEqual({ [DOUBT]: "1" });
    table.setDraining("other", true);
    announcements.onOthersChanged();
    expect(announced()).toEqual({ [PLAIN]: "1", [DOUBT]: "1" });
  });

  it("gets its plain key back when the other node begins to drain", () => {
    const { announcements, other, announced, table } = create();
    other(1, 0);
    announcements.set("e", { count: 1, doubtful: true });
    expect(announced()).toEqual({ [DOUBT]: "1" });
    table.setDraining("other", true);
    announcements.onOthersChanged();
    expect(announced()).toEqual({ [PLAIN]: "1", [DOUBT]: "1" });
  });
});

/** Three of our nodes: what they know about each other, and what a Go node would know. */
function simulate(seed: number) {
  const random = new SeededRandom(seed);
  const nodes = new Map<string, { announcements: Announcements; table: ClusterTable }>();
  const cluster = new SimulatedCluster({
    random,
    conditions: { loss: 0.1, delayMs: [0.1, 20] },
    create: ({ nodeId, addr, transport, clock, resolve, watch }) => {
      const table = new ClusterTable(() => random.next());
      const sync = watchCluster({
        table,
        logger: createSilentLogger(),
        onEndpoint: (endpointId) => announcements.onOtherChanged(endpointId),
        onEndpointLost: (endpointId) => announcements.onOtherChanged(endpointId),
        onDoubt: (endpointId) => announcements.onOtherChanged(endpointId),
        onDraining: () => announcements.onOthersChanged(),
      });
      const both =
        <Args extends unknown[]>(one?: (...args: Args) => void, other?: (...args: Args) => void) =>
        (...args: Args): void => {
          one?.(...args);
          other?.(...args);
        };
      const gossip = new Gossip({
        nodeId,
        addr,
        transport,
        clock,
        random: () => random.next(),
        watch: {
          onJoin: both((id: string) => watch.onJoin(id), sync.onJoin),
          onLeave: both((id: string) => watch.onLeave(id), sync.onLeave),
          onReachable: both((id: string) => watch.onReachable(id), sync.onReachable),
          onUnreachable: both((id: string) => watch.onUnreachable(id), sync.onUnreachable),
          onUpsert: both((...args: [string, string, string]) => watch.onUpsert(...args), sync.onUpsert),
          onDelete: both((...args: [string, string]) => watch.onDelete(...args), sync.onDelete),
          onExpired: both((id: string) => watch.onExpired(id), sync.onExpired),
        },
        initialVersion: 0,
        resolve: (addresses, done) => done({ targets: resolve(addresses), failures: [] }),
      });
      const announcements = new Announcements({
        keys: gossip,
        table,
        logger: createSilentLogger(),
        now: () => clock.now(),
      });
      nodes.set(nodeId, { announcements, table });
      announceNode(gossip, `${nodeId}:8000`, `${nodeId}:8002`);
      return {
        start: () => gossip.start(),
        join: (addresses) => void gossip.join(addresses).catch(() => {}),
        leave: () => void gossip.leave(),
        close: () => void gossip.close(),
        // Ignores the simulation's own keys; the addresses were announced above.
        upsertLocal: () => {},
        deleteLocal: () => {},
      };
    },
  });
  for (const id of ["a", "b", "c"]) cluster.start(id, [ALL_NODES]);
  cluster.run(3_000);
  const node = (id: string) => {
    const found = nodes.get(id);
    if (found === undefined) throw new Error(id);
    return found;
  };
  const set = (id: string, doubtful: boolean): void =>
    node(id).announcements.set("e", { count: 1, doubtful });
  /** The nodes that a Go node in c's place would send requests to. */
  const seenByGo = (): string[] =>
    [...(cluster.alive.get("c")?.view.nodes ?? [])]
      .filter(([, { keys }]) => keys.has(PLAIN))
      .map(([id]) => id)
      .sort();
  const ranks = (): Record<string, number> =>
    Object.fromEntries(
      ["a", "b"].map((id) => {
        const { table } = node("c");
        const remote = table.get(id);
        return [
          id,
          remote?.endpoints.has("e") === true ? table.rankOf(remote, "e", cluster.clock.now()) : -1,
        ];
      }),
    );
  return { cluster, random, ranks, seenByGo, set };
}

describe("nodes that announce doubt to each other", () => {
  it("never leave Go nodes without a node for long, even if both withdraw at the same moment", () => {
    let gaps = 0;
    for (let seed = 1; seed <= 30; seed++) {
      const { cluster, ranks, seenByGo, set } = simulate(seed);
      set("a", false);
      set("b", false);
      cluster.run(2_000);
      expect(seenByGo()).toEqual(["a", "b"]);
      set("a", true);
      set("b", true);
      const start = cluster.clock.now();
      let without = 0;
      while (cluster.clock.now() - start < 5_000) {
        cluster.run(10);
        if (seenByGo().length === 0) without += 10;
        // Our nodes know both all the time.
        expect(Math.min(...Object.values(ranks()))).toBeGreaterThanOrEqual(0);
      }
      if (without > 0) gaps++;
      expect(without).toBeLessThan(1_000);
      expect([seenByGo(), ranks()]).toEqual([["a", "b"], { a: NODE_DOUBTFUL, b: NODE_DOUBTFUL }]);
      set("a", false);
      cluster.run(5_000);
      expect([seenByGo(), ranks()]).toEqual([["a"], { a: NODE_HEALTHY, b: NODE_DOUBTFUL }]);
      set("b", false);
      cluster.run(5_000);
      expect([seenByGo(), ranks()]).toEqual([["a", "b"], { a: NODE_HEALTHY, b: NODE_HEALTHY }]);
      cluster.close();
    }
    // Otherwise the gap never occurred, and this test proves nothing.
    expect(gaps).toBeGreaterThan(0);
  });

  it("agree in the end, after any changes in any order", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { cluster, random, ranks, seenByGo, set } = simulate(1_000 + seed);
      const doubtful = { a: false, b: false };
      set("a", false);
      set("b", false);
      for (let step = 0; step < 30; step++) {
        const id = random.pick(["a", "b"] as const);
        doubtful[id] = random.int(0, 1) === 1;
        set(id, doubtful[id]);
        cluster.run(random.int(0, 400));
      }
      cluster.run(6_000);
      const well = (["a", "b"] as const).filter((id) => !doubtful[id]);
      expect(seenByGo(), `seed ${seed}`).toEqual(well.length === 0 ? ["a", "b"] : well);
      expect(ranks(), `seed ${seed}`).toEqual({
        a: doubtful.a ? NODE_DOUBTFUL : NODE_HEALTHY,
        b: doubtful.b ? NODE_DOUBTFUL : NODE_HEALTHY,
      });
      cluster.close();
    }
  });
});
