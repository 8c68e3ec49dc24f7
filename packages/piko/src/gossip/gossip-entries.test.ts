// Changes of keys, each of which is reported once, and the various reasons for silence.

import { SimulatedClock } from "@piko/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { COMPACT_KEY, type Entry, LEFT_KEY } from "./wire/messages.js";
import type { GossipWatch } from "./state/watch.js";
import { A, B, C, GossipRig, ScriptedPeer } from "../../test/gossip-rig.js";

let rig: GossipRig;

beforeEach(() => {
  rig = new GossipRig();
});

function entry(key: string, value: string, version: number, internal = false): Entry {
  return { key, value, version, internal, deleted: false };
}

describe("entries", () => {
  it("that would not fit into a packet are rejected when they are set, and those that just fit reach others", () => {
    const a = rig.startNode("a", A);
    const b = rig.startNode("b", B, [`${A}:8003`]);
    let length = 1;
    while (b.gossip.fits(`endpoint:${"x".repeat(length + 1)}`, "1")) length += 1;
    expect(length).toBeGreaterThan(1_200);
    b.gossip.upsertLocal("endpoint:first", "1");
    b.gossip.upsertLocal(`endpoint:${"x".repeat(length)}`, "1");
    expect(() => b.gossip.upsertLocal(`endpoint:${"x".repeat(length + 1)}`, "1")).toThrow("does not fit");
    b.gossip.upsertLocal("endpoint:last", "1");
    rig.clock.run(1_000);
    expect(a.view.nodes.get("b")?.keys.size).toBe(3);
  });

  it("that are too large for this node's own packets don't hold up those that follow", () => {
    const a = rig.startNode("a", A);
    const big = rig.startNode("b", B, [`${A}:8003`], { maxPacketSize: 8_000 });
    const c = rig.startNode("c", C, [`${A}:8003`]);
    rig.clock.run(1_000);
    rig.network.partition([C]);
    big.gossip.upsertLocal("endpoint:big", "x".repeat(5_000));
    big.gossip.upsertLocal("endpoint:last", "1");
    rig.clock.run(500);
    expect(a.view.nodes.get("b")?.keys.size).toBe(2);
    // Now c can learn of this entry only from a, whose packets are too small for it. A TCP refusal would reveal too soon that b is gone.
    rig.network.crash(big.transport, "host");
    rig.network.heal();
    rig.clock.run(1_800);
    expect(c.view.nodes.get("b")?.keys.get("endpoint:last")).toBe("1");
  });

  it("with keys of the protocol can't be set", () => {
    const a = rig.startNode("a", A);
    for (const key of [LEFT_KEY, COMPACT_KEY, ""])
      expect(() => a.gossip.upsertLocal(key, "1")).toThrow("reserved key");
    a.gossip.deleteLocal("nothing");
    expect(a.gossip.node("a")?.version).toBe(0);
  });

  it("that are deleted are dropped once there are 100, and internal ones are kept without being announced", () => {
    const a = rig.startNode("a", A);
    const b = rig.startNode("b", B, [`${A}:8003`]);
    b.gossip.upsertLocal("_internal:private", "secret", { internal: true });
    b.gossip.upsertLocal("proxy_addr", "b:8000");
    for (let i = 0; i < 100; i++) b.gossip.upsertLocal(`endpoint:${i}`, "1");
    rig.clock.run(1_000);
    for (let i = 0; i < 100; i++) b.gossip.deleteLocal(`endpoint:${i}`);
    rig.clock.run(3_000);
    for (const { gossip } of [a, b]) {
      expect(gossip.node("b")?.entries.map(({ key, value, internal }) => [key, value, internal])).toEqual([
        ["_internal:private", "secret", true],
        ["proxy_addr", "b:8000", false],
        [COMPACT_KEY, "202", true],
      ]);
    }
    expect(a.notified.filter((what) => what.includes("private"))).toEqual([]);
    expect(a.notified.filter((what) => what === "delete b proxy_addr")).toEqual([]);
    expect(a.notified.filter((what) => what.startsWith("delete b endpoint"))).toHaveLength(100);
    expect(a.gossip.entryCounts()).toContainEqual({ id: "b", total: 3, deleted: 0, internal: 2 });
  });

  it("may be set to an empty value after they were deleted", () => {
    const a = rig.startNode("a", A);
    const b = rig.startNode("b", B, [`${A}:8003`]);
    b.gossip.upsertLocal("key", "");
    rig.clock.run(500);
    b.gossip.deleteLocal("key");
    rig.clock.run(500);
    b.gossip.upsertLocal("key", "");
    rig.clock.run(500);
    expect(a.notified).toEqual(["join b", "upsert b key", "delete b key", "upsert b key"]);
  });

  it("below the known version are skipped", () => {
    const a = rig.startNode("a", A);
    const peer = new ScriptedPeer(rig, "peer", B);
    void a.gossip.join([peer.addr]);
    rig.clock.run(500);
    peer.sendDelta(`${A}:8003`, [entry("k", "5", 5)]);
    rig.clock.run(10);
    peer.sendDelta(`${A}:8003`, [entry("k", "4", 4), entry("l", "3", 3), entry("m", "6", 6)]);
    rig.clock.run(10);
    expect(a.notified).toEqual(["join peer", "upsert peer k 5", "upsert peer m 6"]);
  });

  it("are dropped by a compaction up to its version, and a marker that isn't a number ends the packet", () => {
    const a = rig.startNode("a", A);
    const peer = new ScriptedPeer(rig, "peer", B);
    void a.gossip.join([peer.addr]);
    rig.clock.run(500);
    peer.sendDelta(`${A}:8003`, [entry("a", "1", 1), entry("b", "1", 2), entry("a", "2", 3)]);
    rig.clock.run(10);
    peer.sendDelta(`${A}:8003`, [entry(COMPACT_KEY, "2", 4, true)]);
    rig.clock.run(10);
    peer.sendDelta(`${A}:8003`, [entry(COMPACT_KEY, "two", 5, true), entry("c", "1", 6)]);
    rig.clock.run(10);
    expect(a.notified.slice(1)).toEqual([
      "upsert peer a 1",
      "upsert peer b 1",
      "upsert peer a 2",
      "delete peer b",
    ]);
  });
});

describe("silence", () => {
  it("of this process itself isn't blamed on others", () => {
    const lagging = new SimulatedClock();
    const a = rig.startNode("a", A, [], { clock: lagging });
    rig.startNode("b", B, [`${A}:8003`]);
    const both = (ms: number): void => {
      for (let i = 0; i < ms; i += 5) {
        rig.clock.run(5);
        lagging.run(5);
      }
    };
    both(2_000);
    expect(a.view.routable()).toEqual(["b"]);
    // Stopped for a minute (SIGSTOP): after it continues, one late tick runs before any answer arrives.
    rig.clock.run(60_000);
    const { setTimeout: arm } = lagging;
    lagging.setTimeout = (callback, ms) => arm.call(lagging, callback, ms + 60_000);
    both(200);
    lagging.setTimeout = (callback, ms) => arm.call(lagging, callback, ms);
    lagging.run(60_000);
    both(3_000);
    expect(a.notified.filter((what) => what === "unreachable b")).toEqual([]);
  });

  it("raises suspicion long before the node is unreachable, and again after each answer", () => {
    const notified: [string, number][] = [];
    let cutAt = 0;
    const watch: GossipWatch = {
      onSuspect: () => notified.push(["suspect", rig.clock.now() - cutAt]),
      onUnreachable: () => notified.push(["end", rig.clock.now() - cutAt]),
    };
    rig.startNode("a", A, [], { watch });
    rig.startNode("b", B, [`${A}:8003`]);
    rig.clock.run(10_000);
    for (const ms of [1_800, 3_000]) {
      cutAt = rig.clock.now();
      rig.network.partition([B]);
      rig.clock.run(ms);
      rig.network.heal();
      rig.clock.run(5_000);
    }
    expect(notified.map(([what]) => what)).toEqual(["suspect", "suspect", "end"]);
    for (const [what, ms] of notified) expect(ms).toBeLessThan(what === "suspect" ? 1_400 : 3_000);
  });

  it("of packets alone doesn't make a node unreachable: TCP counts, too", () => {
    const a = rig.startNode("a", A);
    const b = rig.startNode("b", B, [`${A}:8003`]);
    b.gossip.upsertLocal("endpoint:x", "1");
    rig.network.transport(`${A}:1`); // Keeps the host in the network.
    const lossy = rig.network.sendPacket.bind(rig.network);
    rig.network.sendPacket = () => {};
    rig.clock.run(20_000);
    expect(a.view.nodes.get("b")?.keys.get("endpoint:x")).toBe("1");
    expect(a.notified.filter((what) => what === "unreachable b")).toEqual([]);
    rig.network.sendPacket = lossy;
  });
});
