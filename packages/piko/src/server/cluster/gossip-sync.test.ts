import { describe, expect, it } from "vitest";
import { createSilentLogger } from "../../../test/silent-logger.js";
import { ClusterTable, NODE_HEALTHY } from "./cluster-table.js";
import {
  announceAbout,
  announceDraining,
  announceListeners,
  announceNode,
  watchCluster,
} from "./gossip-sync.js";

function create() {
  const reported: string[] = [];
  const nodes: string[] = [];
  const warnings: string[] = [];
  const table = new ClusterTable(Math.random);
  const watch = watchCluster({
    table,
    logger: { ...createSilentLogger(), warn: (message) => void warnings.push(message) },
    onEndpoint: (endpointId) => void reported.push(`+${endpointId}`),
    onEndpointLost: (endpointId) => void reported.push(`-${endpointId}`),
    onDoubt: (endpointId) => void reported.push(`?${endpointId}`),
    onNode: () => void nodes.push("node"),
    onDraining: () => void reported.push("draining"),
  });
  return {
    table,
    reported,
    nodes,
    warnings,
    join: (id: string) => watch.onJoin?.(id),
    leave: (id: string) => watch.onLeave?.(id),
    reachable: (id: string) => watch.onReachable?.(id),
    unreachable: (id: string) => watch.onUnreachable?.(id),
    expire: (id: string) => watch.onExpired?.(id),
    upsert: (id: string, key: string, value: string) => watch.onUpsert?.(id, key, value),
    delete: (id: string, key: string) => watch.onDelete?.(id, key),
  };
}

/** A cluster with a complete node, so that it can be chosen. */
function withNode(id = "a") {
  const sync = create();
  sync.join(id);
  sync.upsert(id, "proxy_addr", "10.0.0.1:8000");
  sync.upsert(id, "admin_addr", "10.0.0.1:8002");
  return sync;
}

const chosen = (table: ClusterTable, endpointId: string) => table.select(endpointId, 0, undefined)?.id;

it("a node that joins or can be reached again is reported, and one that leaves isn't", () => {
  const sync = withNode();
  expect(sync.nodes).toHaveLength(1);
  sync.unreachable("a");
  expect(sync.nodes).toHaveLength(1);
  sync.reachable("a");
  expect(sync.nodes).toHaveLength(2);
  sync.leave("a");
  sync.expire("a");
  expect(sync.nodes).toHaveLength(2);
});

describe("what a node announces about itself", () => {
  it("is announced under Go Piko's keys", () => {
    const keys = new Map<string, string>();
    const local = {
      upsertLocal: (key: string, value: string) => void keys.set(key, value),
      deleteLocal: (key: string) => void keys.delete(key),
    };
    announceAbout(local, { version: "0.1.0", startedMs: 1_767_225_600_000 });
    announceNode(local, "10.0.0.1:8000", "10.0.0.1:8002", ["proxy"]);
    announceListeners(local, "web", 2);
    announceListeners(local, "gone", 1);
    announceListeners(local, "gone", 0);
    announceDraining(local);
    expect(Object.fromEntries(keys)).toEqual({
      "_piko:about": "0.1.0 1767225600000",
      "_piko:tls": "proxy",
      proxy_addr: "10.0.0.1:8000",
      admin_addr: "10.0.0.1:8002",
      "endpoint:web": "2",
      "_piko:draining": "true",
    });
  });
});

describe("what other nodes announce", () => {
  it("may be their version and start time, in a form that is safe to show", () => {
    const { table, upsert, delete: remove } = withNode();
    upsert("a", "_piko:about", "0.1.0 1767225600000");
    expect(table.get("a")?.about).toEqual({ version: "0.1.0", startedMs: 1_767_225_600_000 });
    for (const wrong of ["", "0.1.0", "0.1.0 soon", "\u001b[2J 1", `${"9".repeat(65)} 1`]) {
      upsert("a", "_piko:about", wrong);
      expect(table.get("a")?.about, wrong).toBeUndefined();
    }
    upsert("a", "_piko:about", "0.1.0 1");
    remove("a", "_piko:about");
    expect(table.get("a")?.about).toBeUndefined();
  });

  it("may be that they are stopping", () => {
    const { table, reported, upsert, delete: remove } = withNode();
    upsert("a", "endpoint:web", "1");
    upsert("a", "_piko:draining", "true");
    expect(table.get("a")?.draining).toBe(true);
    expect(chosen(table, "web")).toBe("a");
    expect(table.select("web", 0, undefined, NODE_HEALTHY)).toBeUndefined();
    remove("a", "_piko:draining");
    expect(table.get("a")?.draining).toBe(false);
    expect(reported).toEqual(["+web", "draining", "draining"]);
  });

  it("may be that the listeners of an endpoint are doubtful, with or without the key that Go nodes know", () => {
    const { table, reported, upsert, delete: remove } = withNode();
    upsert("a", "endpoint:web", "2");
    upsert("a", "_piko:doubt:web", "2");
    expect(chosen(table, "web")).toBe("a");
    expect(table.select("web", 0, undefined, NODE_HEALTHY)).toBeUndefined();
    remove("a", "endpoint:web");
    expect(chosen(table, "web")).toBe("a");
    upsert("a", "endpoint:web", "2");
    remove("a", "_piko:doubt:web");
    expect(table.select("web", 0, undefined, NODE_HEALTHY)?.id).toBe("a");
    upsert("a", "_piko:doubt:new", "1");
    remove("a", "_piko:doubt:new");
    expect(reported).toEqual(["+web", "?web", "+web", "+web", "+web", "?web", "?new", "-new", "?new"]);
  });

  it("makes their endpoints reachable", () => {
    const { table, reported, upsert, delete: remove } = withNode();
    upsert("a", "endpoint:web", "2");
    expect(chosen(table, "web")).toBe("a");
    expect(table.get("a")?.endpoints.get("web")).toBe(2);
    remove("a", "endpoint:web");
    expect(chosen(table, "web")).toBeUndefined();
    expect(reported).toEqual(["+web", "-web"]);
  });

  it("applies from the moment when both addresses are known", () => {
    const { table, reported, join, upsert } = create();
    join("a");
    upsert("a", "endpoint:web", "1");
    upsert("a", "proxy_addr", "10.0.0.1:8000");
    expect([reported, chosen(table, "web")]).toEqual([[], undefined]);
    upsert("a", "admin_addr", "10.0.0.1:8002");
    expect([reported, chosen(table, "web")]).toEqual([["+web"], "a"]);
  });

  it.each(["0", "-1", "-12"])("treats a listener count of %s as none", (count) => {
    const { table, reported, warnings, upsert } = withNode();
    upsert("a", "endpoint:web", "1");
    upsert("a", "endpoint:web", count);
    expect(chosen(table, "web")).toBeUndefined();
    expect(reported).toEqual(["+web", "-web"]);
    expect(warnings).toEqual([]);
  });

  it.each(["", "x", "1.5", "1e3", "0x1", " 1", "12345678901"])("ignores a listener count of %j", (count) => {
    const { table, warnings, upsert } = withNode();
    upsert("a", "endpoint:web", "3");
    upsert("a", "endpoint:web", count);
    expect(table.get("a")?.endpoints.get("web")).toBe(3);
    upsert("a", "_piko:doubt:web", count);
    expect(table.get("a")?.doubtful.size).toBe(0);
    expect(warnings).toEqual(["bad listener count", "bad listener count"]);
  });

  it.each(["", "x", "10.0.0.1", ":8000", "10.0.0.1:0", "10.0.0.1:70000", "fd00::2:8000", "a b:1", "h:1\r\n"])(
    "never connects to an address of %j",
    (address) => {
      const { table, warnings, join, upsert } = create();
      join("a");
      upsert("a", "proxy_addr", address);
      upsert("a", "admin_addr", "10.0.0.1:8002");
      upsert("a", "endpoint:web", "1");
      expect(chosen(table, "web")).toBeUndefined();
      expect(warnings).toEqual(["bad address of a node"]);
    },
  );

  it("ignores keys that it doesn't know", () => {
    const { table, upsert, delete: remove } = withNode();
    upsert("a", "weather", "fine");
    remove("a", "weather");
    expect(table.get("a")?.endpoints.size).toBe(0);
  });

  it("may contain colons in an endpoint's id", () => {
    const { table, upsert } = withNode();
    upsert("a", "endpoint:a:b:", "1");
    expect(chosen(table, "a:b:")).toBe("a");
  });

  it("is replaced when a node restarts under its old id", () => {
    const { table, upsert, delete: remove } = withNode();
    upsert("a", "endpoint:web", "1");
    for (const key of ["proxy_addr", "admin_addr", "endpoint:web"]) remove("a", key);
    expect([...table.nodes()]).toEqual([]);
    upsert("a", "proxy_addr", "10.0.0.9:8000");
    upsert("a", "admin_addr", "10.0.0.9:8002");
    upsert("a", "endpoint:web", "1");
    expect(table.select("web", 0, undefined)?.proxyAddr).toBe("10.0.0.9:8000");
  });
});

describe("a node", () => {
  it("hides its endpoints while it can't be reached, then shows them again", () => {
    const { table, reported, upsert, unreachable, reachable } = withNode();
    upsert("a", "endpoint:web", "1");
    unreachable("a");
    expect([chosen(table, "web"), table.get("a")?.status]).toEqual([undefined, "unreachable"]);
    reachable("a");
    expect(chosen(table, "web")).toBe("a");
    expect(reported).toEqual(["+web", "-web", "+web"]);
  });

  it("is gone once it has left, even if something answers under its id", () => {
    const { table, reported, upsert, leave, reachable } = withNode();
    upsert("a", "endpoint:web", "1");
    leave("a");
    reachable("a");
    expect([chosen(table, "web"), table.get("a")?.status]).toEqual([undefined, "left"]);
    expect(reported).toEqual(["+web", "-web"]);
  });

  it("is forgotten with everything that it announced", () => {
    const { table, reported, upsert, expire, join } = withNode();
    upsert("a", "endpoint:web", "1");
    expire("a");
    expect([table.get("a"), chosen(table, "web")]).toEqual([undefined, undefined]);
    expect(reported).toEqual(["+web", "-web"]);
    join("a");
    expect(table.get("a")?.complete).toBe(false);
  });
});
