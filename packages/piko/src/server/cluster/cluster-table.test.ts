import { SeededRandom } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import {
  ClusterTable,
  NODE_DRAINING,
  NODE_HEALTHY,
  type NodeStatus,
  type RemoteNode,
} from "./cluster-table.js";

function create(seed = 1) {
  const random = new SeededRandom(seed);
  return { random, table: new ClusterTable(() => random.next()) };
}

/** Adds a node that is complete, so that it can be chosen. */
function add(table: ClusterTable, id: string, listeners: Record<string, number>): void {
  table.join(id);
  table.setAddress(id, "proxyAddr", `${id}:8000`);
  table.setAddress(id, "adminAddr", `${id}:8002`);
  for (const [endpointId, count] of Object.entries(listeners)) table.setListeners(id, endpointId, count);
}

function shares(table: ClusterTable, endpointId: string, draws: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < draws; i++) {
    const id = table.select(endpointId, 0, undefined)?.id ?? "none";
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts;
}

describe("the choice of a node", () => {
  it("is proportional to the nodes' listeners", () => {
    const { table } = create();
    add(table, "a", { e: 1 });
    add(table, "b", { e: 3 });
    add(table, "c", { e: 6, other: 100 });
    const counts = shares(table, "e", 10_000);
    for (const [id, share] of [
      ["a", 0.1],
      ["b", 0.3],
      ["c", 0.6],
    ] as const)
      expect(Math.abs((counts[id] ?? 0) / 10_000 - share)).toBeLessThan(0.02);
  });

  it("falls on a draining node only if there is no other, and on a node that just failed last of all", () => {
    const { table } = create();
    add(table, "well", { e: 1 });
    add(table, "draining", { e: 50 });
    add(table, "failed", { e: 50 });
    table.setDraining("draining", true);
    table.onFailure(table.get("failed") as RemoteNode, 0);
    expect(shares(table, "e", 50)).toEqual({ well: 50 });
    table.setListeners("well", "e", 0);
    expect(shares(table, "e", 50)).toEqual({ draining: 50 });
    expect(table.select("e", 0, undefined, NODE_HEALTHY)).toBeUndefined();
    expect(table.select("e", 0, table.get("draining"))?.id).toBe("failed");
    table.setListeners("draining", "e", 0);
    expect(shares(table, "e", 50)).toEqual({ failed: 50 });
  });

  it("falls on a doubtful node only if no other is healthy or draining, and on a node that just failed even later", () => {
    const { table } = create();
    add(table, "draining", { e: 1 });
    add(table, "doubtful", { e: 50, other: 50 });
    add(table, "failed", { e: 50 });
    table.setDraining("draining", true);
    table.setDoubt("doubtful", "e", 50);
    table.onFailure(table.get("failed") as RemoteNode, 0);
    expect(shares(table, "e", 50)).toEqual({ draining: 50 });
    expect(table.select("e", 0, table.get("draining"), NODE_DRAINING)).toBeUndefined();
    table.setListeners("draining", "e", 0);
    expect(shares(table, "e", 50)).toEqual({ doubtful: 50 });
    expect(table.select("e", 0, table.get("doubtful"))?.id).toBe("failed");
    // The doubt is about one endpoint only.
    expect(table.select("other", 0, undefined, NODE_HEALTHY)?.id).toBe("doubtful");
    table.setDoubt("doubtful", "e", 0);
    expect(table.select("e", 0, undefined, NODE_HEALTHY)?.id).toBe("doubtful");
  });

  it("knows an endpoint from its doubt key alone, in any order of updates", () => {
    const plain = (table: ClusterTable, count: number) => table.setListeners("a", "e", count);
    const doubt = (table: ClusterTable, count: number) => table.setDoubt("a", "e", count);
    for (const steps of [
      [plain, 2, doubt, 2, plain, 0],
      [doubt, 2],
      [doubt, 2, plain, 2, plain, 0],
    ] as const) {
      const { table } = create();
      add(table, "a", {});
      for (let i = 0; i < steps.length; i += 2) (steps[i] as typeof plain)(table, steps[i + 1] as number);
      expect([table.get("a")?.endpoints.get("e"), table.hasEndpoint("e")]).toEqual([2, true]);
      expect(doubt(table, 3)).toBe(true);
      expect(table.get("a")?.endpoints.get("e")).toBe(3);
      expect([doubt(table, 0), table.hasEndpoint("e"), table.get("a")?.withdrawn.size]).toEqual([
        false,
        false,
        0,
      ]);
    }
    const { table } = create();
    add(table, "a", { e: 1 });
    doubt(table, 1);
    expect([doubt(table, 0), table.get("a")?.endpoints.get("e")]).toEqual([true, 1]);
  });

  it("follows changes of the listeners", () => {
    const { table } = create();
    add(table, "a", { e: 1 });
    add(table, "b", { e: 1 });
    table.setListeners("a", "e", 0);
    expect(shares(table, "e", 20)).toEqual({ b: 20 });
    table.setListeners("b", "e", 0);
    expect(shares(table, "e", 1)).toEqual({ none: 1 });
  });

  it.each(["unreachable", "left"] as const)("leaves out nodes that are %s", (status) => {
    const { table } = create();
    add(table, "a", { e: 1 });
    table.setStatus("a", status);
    expect(table.select("e", 0, undefined)).toBeUndefined();
    table.setListeners("a", "e", 5);
    expect(table.select("e", 0, undefined)).toBeUndefined();
    table.setStatus("a", "active");
    // A node that has left doesn't return under its id.
    expect(table.select("e", 0, undefined)?.id).toBe(status === "left" ? undefined : "a");
  });

  it("leaves out nodes without both addresses, and nodes that were removed", () => {
    const { table } = create();
    table.join("a");
    table.setListeners("a", "e", 1);
    expect(table.setAddress("a", "proxyAddr", "a:8000")).toBe(false);
    expect(table.select("e", 0, undefined)).toBeUndefined();
    expect([...table.nodes()]).toEqual([]);
    expect(table.setAddress("a", "adminAddr", "a:8002")).toBe(true);
    expect(table.select("e", 0, undefined)?.id).toBe("a");
    table.remove("a");
    expect(table.select("e", 0, undefined)).toBeUndefined();
  });

  it("skips the node that has just failed the request", () => {
    const { table } = create();
    add(table, "a", { e: 1 });
    expect(table.select("e", 0, table.get("a"))).toBeUndefined();
    add(table, "b", { e: 1 });
    for (let i = 0; i < 20; i++) expect(table.select("e", 0, table.get("a"))?.id).toBe("b");
  });
});

describe("a node that can't be reached", () => {
  it("is chosen only if there is no other, for longer after each failure", () => {
    const { table } = create();
    add(table, "a", { e: 1, only: 1 });
    add(table, "b", { e: 1 });
    const a = table.get("a");
    if (a === undefined) throw new Error("no a");
    let nowMs = 0;
    for (const ms of [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]) {
      table.onFailure(a, nowMs);
      expect(table.select("only", nowMs, undefined)).toBe(a);
      for (let i = 0; i < 20; i++) expect(table.select("e", nowMs + ms - 1, undefined)?.id).toBe("b");
      nowMs += ms;
      const later = Array.from({ length: 50 }, () => table.select("e", nowMs, undefined)?.id);
      expect(later).toContain("a");
    }
  });

  it("may only be suspected, until a deadline or an answer", () => {
    const { table } = create();
    add(table, "a", { e: 1, only: 1 });
    add(table, "b", { e: 1 });
    const a = table.get("a");
    if (a === undefined) throw new Error("no a");
    table.onSuspect(a, 1_500);
    expect(table.select("only", 0, undefined)).toBe(a);
    for (let i = 0; i < 20; i++) expect(table.select("e", 1_499, undefined)?.id).toBe("b");
    expect(Array.from({ length: 50 }, () => table.select("e", 1_500, undefined)?.id)).toContain("a");
    table.onSuccess(a);
    expect(Array.from({ length: 50 }, () => table.select("e", 0, undefined)?.id)).toContain("a");
    table.onFailure(a, 0);
    expect(a.ejectedUntilMs).toBe(500);
    table.onSuspect(a, 400);
    expect(a.ejectedUntilMs).toBe(500);
  });

  it("isn't left out for longer because many requests fail at once", () => {
    const { table } = create();
    add(table, "a", { e: 1 });
    const a = table.get("a");
    if (a === undefined) throw new Error("no a");
    for (let nowMs = 0; nowMs < 500; nowMs++) table.onFailure(a, nowMs);
    expect(a.ejectedUntilMs).toBe(500);
    expect([499, 500].map((nowMs) => table.isBack("e", nowMs, undefined))).toEqual([false, true]);
    expect(table.isBack("e", 500, a)).toBe(false);
    expect(table.isBack("other", 500, undefined)).toBe(false);
    table.onFailure(a, 500);
    expect(a.ejectedUntilMs).toBe(1_500);
  });

  it("is like any other after the first answer", () => {
    const { table } = create();
    add(table, "a", { e: 1 });
    add(table, "b", { e: 1 });
    const a = table.get("a");
    if (a === undefined) throw new Error("no a");
    table.onFailure(a, 0);
    table.onFailure(a, 500);
    table.onSuccess(a);
    expect(shares(table, "e", 100)["a"]).toBeGreaterThan(20);
    table.onFailure(a, 0);
    expect(a.ejectedUntilMs).toBe(500);
  });
});

describe("addresses", () => {
  it("can't be replaced", () => {
    const { table } = create();
    add(table, "a", { e: 1 });
    expect(table.setAddress("a", "proxyAddr", "elsewhere:1")).toBe(false);
    expect(table.get("a")?.proxyAddr).toBe("a:8000");
  });

  it("can change after the node has withdrawn the first ones", () => {
    const { table } = create();
    add(table, "a", { e: 1 });
    table.clearAddress("a", "proxyAddr");
    expect(table.select("e", 0, undefined)).toBeUndefined();
    expect(table.setAddress("a", "proxyAddr", "new:8000")).toBe(true);
    expect(table.select("e", 0, undefined)?.proxyAddr).toBe("new:8000");
  });
});

describe("changes of unknown nodes", () => {
  it("change nothing", () => {
    const { table } = create();
    table.setStatus("a", "active");
    table.setAddress("a", "proxyAddr", "a:1");
    table.clearAddress("a", "proxyAddr");
    expect(table.setListeners("a", "e", 1)).toBe(false);
    table.remove("a");
    expect(table.get("a")).toBeUndefined();
    expect(table.select("e", 0, undefined)).toBeUndefined();
  });
});

/** The reference implementation of a table: a list of nodes, searched on each call. */
class NaiveTable {
  readonly nodes = new Map<
    string,
    {
      status: NodeStatus;
      addrs: Set<string>;
      listeners: Map<string, number>;
      doubts: Map<string, number>;
    }
  >();

  candidates(endpointId: string): string[] {
    const found = [...this.nodes].filter(
      ([, { status, addrs, listeners, doubts }]) =>
        status === "active" &&
        addrs.size === 2 &&
        ((listeners.get(endpointId) ?? 0) > 0 || (doubts.get(endpointId) ?? 0) > 0),
    );
    return found.map(([id]) => id).sort();
  }
}

describe("the index", () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "agrees with a search of all nodes after any changes (seed %i)",
    (seed) => {
      const { random, table } = create(seed);
      const naive = new NaiveTable();
      const endpoints = ["e", "f", "g"];
      for (let step = 0; step < 400; step++) {
        const id = random.pick(["a", "b", "c", "d"]);
        const node = naive.nodes.get(id);
        const endpointId = random.pick(endpoints);
        switch (random.int(0, 8)) {
          case 0:
            table.join(id);
            if (node === undefined)
              naive.nodes.set(id, {
                status: "active",
                addrs: new Set(),
                listeners: new Map(),
                doubts: new Map(),
              });
            break;
          case 1:
            if (random.int(0, 5) === 0) {
              table.remove(id);
              naive.nodes.delete(id);
            }
            break;
          case 2: {
            const status = random.pick(["active", "unreachable", "active", "unreachable", "left"] as const);
            table.setStatus(id, status);
            if (node !== undefined && node.status !== "left") node.status = status;
            break;
          }
          case 3: {
            const kind = random.pick(["proxyAddr", "adminAddr"] as const);
            if (random.int(0, 4) === 0) {
              table.clearAddress(id, kind);
              node?.addrs.delete(kind);
            } else {
              table.setAddress(id, kind, `${id}:1`);
              node?.addrs.add(kind);
            }
            break;
          }
          case 7: {
            const count = random.pick([0, 0, 1, 2, 5]);
            const reachable = table.setDoubt(id, endpointId, count);
            node?.doubts.set(endpointId, count);
            expect(reachable).toBe(naive.candidates(endpointId).includes(id));
            break;
          }
          default: {
            const count = random.pick([0, 0, 1, 2, 5]);
            const reachable = table.setListeners(id, endpointId, count);
            node?.listeners.set(endpointId, count);
            expect(reachable).toBe(naive.candidates(endpointId).includes(id));
          }
        }
        for (const each of endpoints) {
          const expected = naive.candidates(each);
          const seen = new Set<string>();
          for (let i = 0; i < 12; i++) seen.add(table.select(each, 0, undefined)?.id ?? "");
          expect(
            [...seen].every((found) => (expected.length === 0 ? found === "" : expected.includes(found))),
          ).toBe(true);
          for (const one of expected) {
            const others = expected.filter((other) => other !== one);
            const chosen = table.select(each, 0, table.get(one))?.id;
            expect(chosen === undefined ? [] : [chosen]).toEqual(others.length === 0 ? [] : [chosen]);
            expect(chosen).not.toBe(one);
          }
        }
      }
    },
  );
});
