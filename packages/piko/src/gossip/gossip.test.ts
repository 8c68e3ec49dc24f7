// A node among peers, some of which break the protocol: answers, failures, incarnations, false addresses.

import { beforeEach, describe, expect, it } from "vitest";
import { COMPACT_KEY, type Entry } from "./wire/messages.js";
import { A, B, C, type GossipNode, GossipRig, ScriptedPeer } from "../../test/gossip-rig.js";

let rig: GossipRig;

beforeEach(() => {
  rig = new GossipRig();
});

function entry(key: string, value: string, version: number, internal = false): Entry {
  return { key, value, version, internal, deleted: false };
}

describe("answers", () => {
  it("to questions of the previous process at the same address leave no holes", () => {
    const a = rig.startNode("a", A);
    const before = rig.startNode("b", B, [`${A}:8003`]);
    rig.clock.run(1_000);
    expect(before.view.routable()).toEqual(["a"]);
    // A slow network: the answer with the new entry arrives at the next process, and lacks all older entries.
    rig.network.conditions.delayMs = [80, 80];
    a.gossip.upsertLocal("endpoint:old", "1");
    rig.clock.run(300);
    a.gossip.upsertLocal("endpoint:new", "1");
    rig.clock.run(100);
    rig.network.crash(before.transport, "process");
    const after = rig.startNode("b", B, [`${A}:8003`], { initialVersion: 1_000 });
    rig.clock.run(1_000);
    expect([...(after.view.nodes.get("a")?.keys.keys() ?? [])]).toEqual(["endpoint:old", "endpoint:new"]);
  });

  it("to questions about an earlier incarnation of a node leave no holes", () => {
    const a = rig.startNode("a", A);
    const peer = new ScriptedPeer(rig, "peer", B);
    const before = new ScriptedPeer(rig, "c", C);
    for (const { addr } of [peer, before]) void a.gossip.join([addr]);
    rig.clock.run(500);
    before.sendDelta(`${A}:8003`, [entry("endpoint:before", "1", 10)]);
    rig.clock.run(500);
    rig.network.crash(before.transport, "host");
    rig.clock.run(1_500);
    const after = new ScriptedPeer(rig, "c", "10.0.0.4");
    after.sendDigest(`${A}:8003`, true);
    rig.clock.run(10);
    expect(a.notified.slice(-2)).toEqual(["expired c", "join c"]);
    // The peer was asked what it knows above version 10.
    peer.sendDelta(`${A}:8003`, [entry("endpoint:new", "1", 12)], "c", after.addr);
    rig.clock.run(500);
    after.sendDelta(`${A}:8003`, [entry("endpoint:old", "1", 11), entry("endpoint:new", "1", 12)]);
    rig.clock.run(100);
    expect([...(a.view.nodes.get("c")?.keys.keys() ?? [])]).toEqual(["endpoint:old", "endpoint:new"]);
  });
});

describe("nodes that are gone", () => {
  it("are not brought back by peers that still mention them", () => {
    const a = rig.startNode("a", A);
    const peer = new ScriptedPeer(rig, "peer", B);
    // A Go node announces dead nodes until it forgets them, and learns them again from other Go nodes.
    peer.digest = [{ id: "ghost", addr: `${C}:8003`, version: 7, left: false }];
    void a.gossip.join([peer.addr]);
    rig.clock.run(150_000);
    expect(a.notified).toEqual(["join peer"]);
    expect(a.gossip.nodes().map(({ id }) => id)).toEqual(["a", "peer"]);
  });

  it("after leaving are not brought back by peers that saw them return", () => {
    const a = rig.startNode("a", A);
    const b = rig.startNode("b", B, [`${A}:8003`]);
    const c = rig.startNode("c", C, [`${A}:8003`]);
    rig.clock.run(1_000);
    void c.gossip.leave();
    rig.clock.run(1_000);
    expect(b.notified).toContain("leave c");
    // c returns and dies while b is cut off; a, which hasn't noticed the crash yet, tells b about c's return.
    rig.network.partition([B]);
    rig.network.crash(c.transport, "process");
    const again = rig.startNode("c", C, [`${A}:8003`], { initialVersion: 5_000 });
    rig.clock.run(3_500);
    expect(a.view.routable()).toContain("c");
    rig.network.crash(again.transport, "host");
    rig.network.heal();
    b.notified.length = 0;
    rig.clock.run(2_000);
    expect(b.notified).toContain("reachable a");
    expect(b.notified.filter((what) => what.endsWith(" c"))).toEqual(["expired c"]);
  });

  it("are left out of the digests and joins that others get", () => {
    const a = rig.startNode("a", A);
    const b = rig.startNode("b", B, [`${A}:8003`]);
    const peer = new ScriptedPeer(rig, "peer", C);
    void a.gossip.join([peer.addr]);
    rig.clock.run(1_000);
    rig.network.crash(b.transport, "host");
    rig.clock.run(3_000);
    expect(a.view.nodes.get("b")?.unreachable).toBe(true);
    peer.packets.length = 0;
    rig.clock.run(5_000);
    const digests = peer.packets.flatMap((packet) => (packet.type === 1 ? packet.entries : []));
    expect(digests.length).toBeGreaterThan(20);
    expect(digests.some(({ id }) => id === "b")).toBe(false);
    expect(peer.join(`${A}:8003`).nodeIds).toEqual(["a"]);
  });

  it("return when they answer again", () => {
    const a = rig.startNode("a", A);
    rig.startNode("b", B, [`${A}:8003`]);
    rig.clock.run(1_000);
    rig.network.partition([A]);
    rig.clock.run(120_000);
    expect(a.notified).toEqual(["join b", "unreachable b", "expired b"]);
    rig.network.heal();
    rig.clock.run(3_000);
    expect(a.notified.slice(3)).toEqual(["join b"]);
  });

  it("are not announced by a node that only heard of them, but with all their keys once they answer", () => {
    const a = rig.startNode("a", A);
    const b = rig.startNode("b", B);
    b.gossip.upsertLocal("endpoint:x", "1");
    rig.network.partition([B]);
    const peer = new ScriptedPeer(rig, "peer", C);
    peer.digest = [{ id: "b", addr: `${B}:8003`, version: 1, left: false }];
    void a.gossip.join([peer.addr]);
    rig.clock.run(1_000);
    expect(a.view.nodes.has("b")).toBe(false);
    rig.network.heal();
    rig.clock.run(1_000);
    expect(a.notified).toEqual(["join peer", "join b", "upsert b endpoint:x 1"]);
  });
});

describe("a node that returns under its id", () => {
  function keysOf(node: GossipNode, id: string): Record<string, string> {
    return Object.fromEntries(node.view.nodes.get(id)?.keys ?? []);
  }

  it("continues above the version that others remember", () => {
    const a = rig.startNode("a", A);
    const old = rig.startNode("b", B, [`${A}:8003`]);
    for (let i = 0; i < 50; i++) old.gossip.upsertLocal(`endpoint:${i}`, "1");
    rig.clock.run(1_000);
    expect(a.view.nodes.get("b")?.keys.size).toBe(50);
    rig.network.crash(old.transport, "process");
    const fresh = rig.startNode("b", B, [`${A}:8003`]);
    fresh.gossip.upsertLocal("endpoint:new", "1");
    rig.clock.run(500);
    expect(keysOf(a, "b")).toEqual({ "endpoint:new": "1" });
  });

  it("notices its earlier incarnation even if it has as many versions itself", () => {
    const a = rig.startNode("a", A);
    const old = rig.startNode("b", B, [`${A}:8003`]);
    old.gossip.upsertLocal("endpoint:old", "1");
    rig.clock.run(1_000);
    rig.network.crash(old.transport, "process");
    const fresh = rig.startNode("b", B);
    for (let i = 0; i < 5; i++) fresh.gossip.upsertLocal(`endpoint:${i}`, "1");
    void fresh.gossip.join([`${A}:8003`]);
    rig.clock.run(500);
    expect(Object.keys(keysOf(a, "b")).toSorted()).toEqual([0, 1, 2, 3, 4].map((i) => `endpoint:${i}`));
  });

  it("revokes its leaving", () => {
    const a = rig.startNode("a", A);
    const old = rig.startNode("b", B, [`${A}:8003`]);
    rig.clock.run(1_000);
    void old.gossip.leave();
    rig.clock.run(100);
    expect(a.view.nodes.get("b")?.left).toBe(true);
    rig.network.crash(old.transport, "process");
    const fresh = rig.startNode("b", B, [`${A}:8003`]);
    fresh.gossip.upsertLocal("endpoint:new", "1");
    rig.clock.run(500);
    expect(a.view.nodes.get("b")?.left).toBe(false);
    expect(keysOf(a, "b")).toEqual({ "endpoint:new": "1" });
    rig.clock.run(120_000);
    expect(a.view.routable()).toEqual(["b"]);
  });

  it("may return at another address", () => {
    const a = rig.startNode("a", A);
    const old = rig.startNode("b", B, [`${A}:8003`]);
    old.gossip.upsertLocal("endpoint:old", "1");
    rig.clock.run(1_000);
    rig.network.crash(old.transport, "host");
    rig.clock.run(2_000);
    rig.startNode("b", C, [`${A}:8003`]).gossip.upsertLocal("endpoint:new", "1");
    rig.clock.run(500);
    expect(keysOf(a, "b")).toEqual({ "endpoint:new": "1" });
    expect(a.gossip.node("b")?.addr).toBe(`${C}:8003`);
  });

  it("at another address is taken for another incarnation by nodes that missed the change", () => {
    const a = rig.startNode("a", A);
    const old = rig.startNode("b", B, [`${A}:8003`]);
    for (let i = 0; i < 5; i++) old.gossip.upsertLocal(`endpoint:old-${i}`, "1");
    rig.clock.run(1_000);
    rig.network.partition([A]);
    rig.network.crash(old.transport, "host");
    rig.clock.run(4_000);
    rig.startNode("c", C);
    const fresh = rig.startNode("b", "10.0.0.4", [`${C}:8003`]);
    for (let i = 0; i < 8; i++) fresh.gossip.upsertLocal(`endpoint:${i}`, "1");
    rig.clock.run(1_000);
    rig.network.heal();
    void a.gossip.join([`${C}:8003`]);
    rig.clock.run(1_000);
    expect(Object.keys(keysOf(a, "b")).toSorted()).toEqual(
      Array.from({ length: 8 }, (_, i) => `endpoint:${i}`),
    );
  });

  it("refuses to join where its id is in use, and replaces no one", async () => {
    const a = rig.startNode("a", A);
    rig.startNode("b", B, [`${A}:8003`]);
    rig.clock.run(1_000);
    const pending = rig.startNode("b", C).gossip.join([`${B}:8003`]);
    rig.clock.run(2_000);
    const { outcome, failures } = await pending;
    expect(outcome).toBe("failed");
    expect(failures.map(({ error }) => error.message)).toEqual([`node id b is used by ${B}:8003`]);
    expect(a.gossip.node("b")?.addr).toBe(`${B}:8003`);
  });

  it("begins above an initial version, and makes others drop what is older", () => {
    const a = rig.startNode("a", A);
    rig.startNode("b", B, [`${A}:8003`], { initialVersion: 1_000 }).gossip.upsertLocal("endpoint:x", "1");
    rig.clock.run(500);
    const entries = a.gossip.node("b")?.entries ?? [];
    expect(entries.map(({ key, value, version }) => [key, value, version])).toEqual([
      [COMPACT_KEY, "1000", 1_001],
      ["endpoint:x", "1", 1_002],
    ]);
  });
});

describe("a sender that isn't at the address that it claims", () => {
  it("gets no answer, so that no one can be flooded through a node", () => {
    const a = rig.startNode("a", A);
    const attacker = new ScriptedPeer(rig, "attacker", B);
    const victim = new ScriptedPeer(rig, "victim", C);
    for (let i = 0; i < 100; i++)
      attacker.sendDigest(`${A}:8003`, true, { nodeId: `n${i}`, addr: victim.addr });
    rig.clock.run(5_000);
    expect(victim.packets).toEqual([]);
    expect(a.gossip.counters.packetsRefused).toBe(100);
    expect(a.gossip.nodes()).toHaveLength(1);
  });

  it("gets no answer under the name of a member either", () => {
    rig.startNode("a", A);
    rig.startNode("b", B, [`${A}:8003`]);
    rig.clock.run(1_000);
    const attacker = new ScriptedPeer(rig, "b", C);
    const victim = new ScriptedPeer(rig, "victim", "10.0.0.4");
    attacker.sendDigest(`${A}:8003`, true, { nodeId: "b", addr: victim.addr });
    rig.clock.run(1_000);
    expect(victim.packets).toEqual([]);
  });

  it("can make a node probe invented addresses, but only slowly", () => {
    rig.startNode("a", A);
    const attacker = new ScriptedPeer(rig, "attacker", B);
    const victim = rig.network.transport(`${C}:8003`);
    let received = 0;
    victim.attach({
      onPacket: () => {
        received += 1;
      },
      onRequest: (_request, _ip, answer) => answer(undefined),
    });
    let sent = 0;
    for (let i = 0; i < 50; i++) {
      attacker.digest = Array.from({ length: 18 }, (_, n) => ({
        id: `n${i}-${n}`,
        addr: victim.address,
        version: 1,
        left: false,
      }));
      const before = rig.network.packetBytes;
      attacker.sendDigest(`${A}:8003`, true);
      sent += rig.network.packetBytes - before;
      rig.clock.run(100);
    }
    rig.clock.run(10_000);
    const seconds = rig.clock.now() / 1_000;
    expect(sent).toBeGreaterThan(40_000);
    // One short packet per interval at most.
    expect(received / seconds).toBeLessThan(11);
  });

  it("doesn't fill the memory with invented ids", { timeout: 60_000 }, () => {
    const a = rig.startNode("a", A);
    const attacker = new ScriptedPeer(rig, "attacker", B);
    for (let i = 0; i < 1_500; i++) {
      attacker.digest = Array.from({ length: 20 }, (_, n) => ({
        id: `n${i}-${n}`,
        addr: `10.9.9.9:8003`,
        version: 1,
        left: false,
      }));
      attacker.sendDigest(`${A}:8003`, false);
      rig.clock.run(10);
    }
    rig.clock.run(10_000);
    expect(a.gossip.nodes().length).toBeLessThanOrEqual(2);
    // The node has given up probing them.
    const before = a.gossip.counters.packetBytesOutbound;
    rig.clock.run(10_000);
    expect(a.gossip.counters.packetBytesOutbound - before).toBeLessThan(60_000);
  });

  it("behind NAT becomes a member once it has answered over TCP at its address", () => {
    const a = rig.startNode("a", A);
    // Its packets seem to come from another address.
    const hidden = rig.startNode("b", B);
    Object.defineProperty(hidden.transport, "ip", { value: "10.7.7.7" });
    void hidden.gossip.join([`${A}:8003`]);
    rig.clock.run(3_000);
    expect(a.view.routable()).toEqual(["b"]);
    rig.clock.run(60_000);
    expect(a.notified.filter((what) => what.startsWith("unreachable"))).toEqual([]);
    // From then on its packets are accepted.
    expect(a.gossip.counters.connectionsOutbound).toBeLessThan(5);
  });
});
