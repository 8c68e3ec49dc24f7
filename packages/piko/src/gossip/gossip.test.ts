import { SeededRandom, SimulatedClock, SimulatedNetwork, type SimulatedTransport, View } from "@piko/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { Gossip, type GossipOptions } from "./gossip.js";
import { COMPACT_KEY, type DigestEntry, type Entry, LEFT_KEY, type Packet } from "./wire/messages.js";
import { joinAnswerEnd } from "./wire/message-end.js";
import { MsgpackWriter } from "./wire/msgpack-writer.js";
import { decodePacket, writeDeltaHead, writeDigestHead, writePacketNode } from "./wire/packet-codec.js";
import { JoinAnswerReader, encodeJoinAnswer, encodeJoinRequest } from "./wire/stream-codec.js";
import { writeDigestEntry, writeEntry } from "./wire/struct-codec.js";
import type { GossipWatch } from "./state/watch.js";

let clock: SimulatedClock;
let network: SimulatedNetwork;
let random: SeededRandom;

beforeEach(() => {
  clock = new SimulatedClock();
  random = new SeededRandom(1);
  network = new SimulatedNetwork(clock, random);
});

interface Node {
  readonly gossip: Gossip;
  readonly view: View;
  readonly told: string[];
  readonly transport: SimulatedTransport;
}

function startNode(id: string, ip: string, seeds: string[] = [], options: Partial<GossipOptions> = {}): Node {
  const told: string[] = [];
  const view = new View(id, (_observer, ...what) => told.push(what.filter((word) => word !== "").join(" ")));
  const transport = network.transport(`${ip}:8003`);
  const gossip = new Gossip({
    nodeId: id,
    addr: `${ip}:8003`,
    transport,
    watch: view,
    clock,
    random: () => random.next(),
    resolve: (addresses, done) => done({ targets: addresses, failures: [] }),
    ...options,
  });
  gossip.start();
  if (seeds.length > 0) void gossip.join(seeds);
  return { gossip, view, told, transport };
}

/** A peer that says what a test wants it to say, and answers like Go Piko where it is asked for signs of life. */
class ScriptedPeer {
  readonly id: string;
  readonly addr: string;
  readonly transport: SimulatedTransport;
  readonly packets: Packet[] = [];
  /** What its digests say of others. */
  digest: DigestEntry[] = [];
  answers = true;

  constructor(id: string, ip: string) {
    this.id = id;
    this.addr = `${ip}:8003`;
    this.transport = network.transport(this.addr);
    this.transport.attach({
      onPacket: (bytes) => {
        const packet = decodePacket(bytes);
        this.packets.push(packet);
        if (!this.answers || packet.type !== 1) return;
        this.sendDelta(packet.from.addr, []);
        if (packet.request) this.sendDigest(packet.from.addr, false);
      },
      onRequest: (_request, _ip, answer) =>
        answer(encodeJoinAnswer({ nodeId: this.id, addr: this.addr }, [])),
    });
  }

  sendDigest(to: string, request: boolean, from: { nodeId: string; addr: string } = this.self): void {
    const writer = new MsgpackWriter();
    writeDigestHead(writer, from, request);
    for (const entry of [{ ...this.self, id: this.id, version: 1, left: false }, ...this.digest])
      writeDigestEntry(writer, entry);
    this.transport.sendPacket(to, writer.copy());
  }

  sendDelta(to: string, entries: readonly Entry[], id: string = this.id, addr: string = this.addr): void {
    const writer = new MsgpackWriter();
    writeDeltaHead(writer, this.self);
    if (entries.length > 0) writePacketNode(writer, id, addr, entries.length);
    for (const entry of entries) writeEntry(writer, entry);
    this.transport.sendPacket(to, writer.copy());
  }

  /** Requests over TCP; the answer. */
  join(to: string): { nodeIds: string[]; bytes: number } {
    const digest = [{ id: this.id, addr: this.addr, version: 0, left: false }];
    const request = encodeJoinRequest(this.self, [{ id: this.id, addr: this.addr, entries: [] }], digest);
    let answer: { nodeIds: string[]; bytes: number } | undefined;
    this.transport.exchange(to, request, joinAnswerEnd(), 1_000, (error, bytes) => {
      if (error === undefined)
        answer = {
          nodeIds: [...new JoinAnswerReader(bytes).nodes()].map(({ id }) => id),
          bytes: bytes.length,
        };
    });
    clock.run(1_000, () => answer !== undefined);
    if (answer === undefined) throw new Error("no answer");
    return answer;
  }

  get self(): { nodeId: string; addr: string } {
    return { nodeId: this.id, addr: this.addr };
  }
}

function entry(key: string, value: string, version: number, internal = false): Entry {
  return { key, value, version, internal, deleted: false };
}

const A = "10.0.0.1";
const B = "10.0.0.2";
const C = "10.0.0.3";

describe("answers", () => {
  it("to questions of the process that had the address before leave no holes", () => {
    const a = startNode("a", A);
    const before = startNode("b", B, [`${A}:8003`]);
    clock.run(1_000);
    expect(before.view.routable()).toEqual(["a"]);
    // A slow network: the answer with what is new arrives at the next process, and lacks all that is older.
    network.conditions.delayMs = [80, 80];
    a.gossip.upsertLocal("endpoint:old", "1");
    clock.run(300);
    a.gossip.upsertLocal("endpoint:new", "1");
    clock.run(100);
    network.crash(before.transport, "process");
    const after = startNode("b", B, [`${A}:8003`], { initialVersion: 1_000 });
    clock.run(1_000);
    expect([...(after.view.nodes.get("a")?.keys.keys() ?? [])]).toEqual(["endpoint:old", "endpoint:new"]);
  });

  it("to questions about the life of a node before leave no holes", () => {
    const a = startNode("a", A);
    const peer = new ScriptedPeer("peer", B);
    const before = new ScriptedPeer("c", C);
    for (const { addr } of [peer, before]) void a.gossip.join([addr]);
    clock.run(500);
    before.sendDelta(`${A}:8003`, [entry("endpoint:before", "1", 10)]);
    clock.run(500);
    network.crash(before.transport, "host");
    clock.run(1_500);
    const after = new ScriptedPeer("c", "10.0.0.4");
    after.sendDigest(`${A}:8003`, true);
    clock.run(10);
    expect(a.told.slice(-2)).toEqual(["expired c", "join c"]);
    // The peer was asked what it knows above version 10.
    peer.sendDelta(`${A}:8003`, [entry("endpoint:new", "1", 12)], "c", after.addr);
    clock.run(500);
    after.sendDelta(`${A}:8003`, [entry("endpoint:old", "1", 11), entry("endpoint:new", "1", 12)]);
    clock.run(100);
    expect([...(a.view.nodes.get("c")?.keys.keys() ?? [])]).toEqual(["endpoint:old", "endpoint:new"]);
  });
});

describe("nodes that are gone", () => {
  it("are not brought back by peers that still speak of them", () => {
    const a = startNode("a", A);
    const peer = new ScriptedPeer("peer", B);
    // A Go node teaches dead nodes until its own memory ends, and learns them back from its like.
    peer.digest = [{ id: "ghost", addr: `${C}:8003`, version: 7, left: false }];
    void a.gossip.join([peer.addr]);
    clock.run(150_000);
    expect(a.told).toEqual(["join peer"]);
    expect(a.gossip.nodes().map(({ id }) => id)).toEqual(["a", "peer"]);
  });

  it("and had left are not brought back by others' word of their return", () => {
    const a = startNode("a", A);
    const b = startNode("b", B, [`${A}:8003`]);
    const c = startNode("c", C, [`${A}:8003`]);
    clock.run(1_000);
    void c.gossip.leave();
    clock.run(1_000);
    expect(b.told).toContain("leave c");
    // c comes back and dies while b is away; a, which has not noticed yet, tells b of it.
    network.partition([B]);
    network.crash(c.transport, "process");
    const again = startNode("c", C, [`${A}:8003`], { initialVersion: 5_000 });
    clock.run(3_500);
    expect(a.view.routable()).toContain("c");
    network.crash(again.transport, "host");
    network.heal();
    b.told.length = 0;
    clock.run(2_000);
    expect(b.told).toContain("reachable a");
    expect(b.told.filter((what) => what.endsWith(" c"))).toEqual(["expired c"]);
  });

  it("are not in the digests and joins that others get", () => {
    const a = startNode("a", A);
    const b = startNode("b", B, [`${A}:8003`]);
    const peer = new ScriptedPeer("peer", C);
    void a.gossip.join([peer.addr]);
    clock.run(1_000);
    network.crash(b.transport, "host");
    clock.run(3_000);
    expect(a.view.nodes.get("b")?.unreachable).toBe(true);
    peer.packets.length = 0;
    clock.run(5_000);
    const digests = peer.packets.flatMap((packet) => (packet.type === 1 ? packet.entries : []));
    expect(digests.length).toBeGreaterThan(20);
    expect(digests.some(({ id }) => id === "b")).toBe(false);
    expect(peer.join(`${A}:8003`).nodeIds).toEqual(["a"]);
  });

  it("return when they answer again", () => {
    const a = startNode("a", A);
    startNode("b", B, [`${A}:8003`]);
    clock.run(1_000);
    network.partition([A]);
    clock.run(120_000);
    expect(a.told).toEqual(["join b", "unreachable b", "expired b"]);
    network.heal();
    clock.run(3_000);
    expect(a.told.slice(3)).toEqual(["join b"]);
  });

  it("are not announced by a node that merely heard of them, but with all their keys once they answer", () => {
    const a = startNode("a", A);
    const b = startNode("b", B);
    b.gossip.upsertLocal("endpoint:x", "1");
    network.partition([B]);
    const peer = new ScriptedPeer("peer", C);
    peer.digest = [{ id: "b", addr: `${B}:8003`, version: 1, left: false }];
    void a.gossip.join([peer.addr]);
    clock.run(1_000);
    expect(a.view.nodes.has("b")).toBe(false);
    network.heal();
    clock.run(1_000);
    expect(a.told).toEqual(["join peer", "join b", "upsert b endpoint:x 1"]);
  });
});

describe("a node that comes back under its id", () => {
  function keysOf(node: Node, id: string): Record<string, string> {
    return Object.fromEntries(node.view.nodes.get(id)?.keys ?? []);
  }

  it("goes on above the version that others remember", () => {
    const a = startNode("a", A);
    const old = startNode("b", B, [`${A}:8003`]);
    for (let i = 0; i < 50; i++) old.gossip.upsertLocal(`endpoint:${i}`, "1");
    clock.run(1_000);
    expect(a.view.nodes.get("b")?.keys.size).toBe(50);
    network.crash(old.transport, "process");
    const fresh = startNode("b", B, [`${A}:8003`]);
    fresh.gossip.upsertLocal("endpoint:new", "1");
    clock.run(500);
    expect(keysOf(a, "b")).toEqual({ "endpoint:new": "1" });
  });

  it("notices the earlier life even when it has as many versions itself", () => {
    const a = startNode("a", A);
    const old = startNode("b", B, [`${A}:8003`]);
    old.gossip.upsertLocal("endpoint:old", "1");
    clock.run(1_000);
    network.crash(old.transport, "process");
    const fresh = startNode("b", B);
    for (let i = 0; i < 5; i++) fresh.gossip.upsertLocal(`endpoint:${i}`, "1");
    void fresh.gossip.join([`${A}:8003`]);
    clock.run(500);
    expect(Object.keys(keysOf(a, "b")).toSorted()).toEqual([0, 1, 2, 3, 4].map((i) => `endpoint:${i}`));
  });

  it("takes back its leaving", () => {
    const a = startNode("a", A);
    const old = startNode("b", B, [`${A}:8003`]);
    clock.run(1_000);
    void old.gossip.leave();
    clock.run(100);
    expect(a.view.nodes.get("b")?.left).toBe(true);
    network.crash(old.transport, "process");
    const fresh = startNode("b", B, [`${A}:8003`]);
    fresh.gossip.upsertLocal("endpoint:new", "1");
    clock.run(500);
    expect(a.view.nodes.get("b")?.left).toBe(false);
    expect(keysOf(a, "b")).toEqual({ "endpoint:new": "1" });
    clock.run(120_000);
    expect(a.view.routable()).toEqual(["b"]);
  });

  it("may come back at another address", () => {
    const a = startNode("a", A);
    const old = startNode("b", B, [`${A}:8003`]);
    old.gossip.upsertLocal("endpoint:old", "1");
    clock.run(1_000);
    network.crash(old.transport, "host");
    clock.run(2_000);
    startNode("b", C, [`${A}:8003`]).gossip.upsertLocal("endpoint:new", "1");
    clock.run(500);
    expect(keysOf(a, "b")).toEqual({ "endpoint:new": "1" });
    expect(a.gossip.node("b")?.addr).toBe(`${C}:8003`);
  });

  it("at another address is taken for another life by those who missed the change", () => {
    const a = startNode("a", A);
    const old = startNode("b", B, [`${A}:8003`]);
    for (let i = 0; i < 5; i++) old.gossip.upsertLocal(`endpoint:old-${i}`, "1");
    clock.run(1_000);
    network.partition([A]);
    network.crash(old.transport, "host");
    clock.run(4_000);
    startNode("c", C);
    const fresh = startNode("b", "10.0.0.4", [`${C}:8003`]);
    for (let i = 0; i < 8; i++) fresh.gossip.upsertLocal(`endpoint:${i}`, "1");
    clock.run(1_000);
    network.heal();
    void a.gossip.join([`${C}:8003`]);
    clock.run(1_000);
    expect(Object.keys(keysOf(a, "b")).toSorted()).toEqual(
      Array.from({ length: 8 }, (_, i) => `endpoint:${i}`),
    );
  });

  it("refuses to join where its id is in use, and takes nobody's place", async () => {
    const a = startNode("a", A);
    startNode("b", B, [`${A}:8003`]);
    clock.run(1_000);
    const pending = startNode("b", C).gossip.join([`${B}:8003`]);
    clock.run(2_000);
    const { outcome, failures } = await pending;
    expect(outcome).toBe("failed");
    expect(failures.map(({ error }) => error.message)).toEqual([`node id b is used by ${B}:8003`]);
    expect(a.gossip.node("b")?.addr).toBe(`${B}:8003`);
  });

  it("begins above an initial version, and has others drop what is older", () => {
    const a = startNode("a", A);
    startNode("b", B, [`${A}:8003`], { initialVersion: 1_000 }).gossip.upsertLocal("endpoint:x", "1");
    clock.run(500);
    const entries = a.gossip.node("b")?.entries ?? [];
    expect(entries.map(({ key, value, version }) => [key, value, version])).toEqual([
      [COMPACT_KEY, "1000", 1_001],
      ["endpoint:x", "1", 1_002],
    ]);
  });
});

describe("a sender that is not where it says", () => {
  it("gets no answer, so that nobody can be flooded through a node", () => {
    const a = startNode("a", A);
    const attacker = new ScriptedPeer("attacker", B);
    const victim = new ScriptedPeer("victim", C);
    for (let i = 0; i < 100; i++)
      attacker.sendDigest(`${A}:8003`, true, { nodeId: `n${i}`, addr: victim.addr });
    clock.run(5_000);
    expect(victim.packets).toEqual([]);
    expect(a.gossip.counters.packetsRefused).toBe(100);
    expect(a.gossip.nodes()).toHaveLength(1);
  });

  it("gets no answer under the name of a member either", () => {
    startNode("a", A);
    startNode("b", B, [`${A}:8003`]);
    clock.run(1_000);
    const attacker = new ScriptedPeer("b", C);
    const victim = new ScriptedPeer("victim", "10.0.0.4");
    attacker.sendDigest(`${A}:8003`, true, { nodeId: "b", addr: victim.addr });
    clock.run(1_000);
    expect(victim.packets).toEqual([]);
  });

  it("can make a node ask the addresses that it invents, but not much", () => {
    startNode("a", A);
    const attacker = new ScriptedPeer("attacker", B);
    const victim = network.transport(`${C}:8003`);
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
      const before = network.packetBytes;
      attacker.sendDigest(`${A}:8003`, true);
      sent += network.packetBytes - before;
      clock.run(100);
    }
    clock.run(10_000);
    const seconds = clock.now() / 1_000;
    expect(sent).toBeGreaterThan(40_000);
    // One short packet per interval at most.
    expect(received / seconds).toBeLessThan(11);
  });

  it("does not fill the memory with invented ids", { timeout: 60_000 }, () => {
    const a = startNode("a", A);
    const attacker = new ScriptedPeer("attacker", B);
    for (let i = 0; i < 1_500; i++) {
      attacker.digest = Array.from({ length: 20 }, (_, n) => ({
        id: `n${i}-${n}`,
        addr: `10.9.9.9:8003`,
        version: 1,
        left: false,
      }));
      attacker.sendDigest(`${A}:8003`, false);
      clock.run(10);
    }
    clock.run(10_000);
    expect(a.gossip.nodes().length).toBeLessThanOrEqual(2);
    // It has given up asking them.
    const before = a.gossip.counters.packetBytesOutbound;
    clock.run(10_000);
    expect(a.gossip.counters.packetBytesOutbound - before).toBeLessThan(60_000);
  });

  it("over NAT becomes a member once it has answered over TCP at its address", () => {
    const a = startNode("a", A);
    // Its packets seem to come from elsewhere.
    const hidden = startNode("b", B);
    Object.defineProperty(hidden.transport, "ip", { value: "10.7.7.7" });
    void hidden.gossip.join([`${A}:8003`]);
    clock.run(3_000);
    expect(a.view.routable()).toEqual(["b"]);
    clock.run(60_000);
    expect(a.told.filter((what) => what.startsWith("unreachable"))).toEqual([]);
    // From then on its packets count.
    expect(a.gossip.counters.connectionsOutbound).toBeLessThan(5);
  });
});

describe("entries", () => {
  it("that would not fit into a packet are refused at the edge, and those that just fit reach others", () => {
    const a = startNode("a", A);
    const b = startNode("b", B, [`${A}:8003`]);
    let length = 1;
    while (b.gossip.fits(`endpoint:${"x".repeat(length + 1)}`, "1")) length += 1;
    expect(length).toBeGreaterThan(1_200);
    b.gossip.upsertLocal("endpoint:first", "1");
    b.gossip.upsertLocal(`endpoint:${"x".repeat(length)}`, "1");
    expect(() => b.gossip.upsertLocal(`endpoint:${"x".repeat(length + 1)}`, "1")).toThrow("does not fit");
    b.gossip.upsertLocal("endpoint:last", "1");
    clock.run(1_000);
    expect(a.view.nodes.get("b")?.keys.size).toBe(3);
  });

  it("of peers that send larger ones don't hold up what comes after them", () => {
    const a = startNode("a", A);
    const big = startNode("b", B, [`${A}:8003`], { maxPacketSize: 8_000 });
    const c = startNode("c", C, [`${A}:8003`]);
    clock.run(1_000);
    network.partition([C]);
    big.gossip.upsertLocal("endpoint:big", "x".repeat(5_000));
    big.gossip.upsertLocal("endpoint:last", "1");
    clock.run(500);
    expect(a.view.nodes.get("b")?.keys.size).toBe(2);
    // Now only a can tell c, whose packets are too small for it. A refusal would say too soon that b is gone.
    network.crash(big.transport, "host");
    network.heal();
    clock.run(1_800);
    expect(c.view.nodes.get("b")?.keys.get("endpoint:last")).toBe("1");
  });

  it("of the protocol can't be set", () => {
    const a = startNode("a", A);
    for (const key of [LEFT_KEY, COMPACT_KEY, ""])
      expect(() => a.gossip.upsertLocal(key, "1")).toThrow("reserved key");
    a.gossip.deleteLocal("nothing");
    expect(a.gossip.node("a")?.version).toBe(0);
  });

  it("that are deleted are dropped at 100, and private ones live on without a word to anybody", () => {
    const a = startNode("a", A);
    const b = startNode("b", B, [`${A}:8003`]);
    b.gossip.upsertLocal("_internal:private", "secret", { internal: true });
    b.gossip.upsertLocal("proxy_addr", "b:8000");
    for (let i = 0; i < 100; i++) b.gossip.upsertLocal(`endpoint:${i}`, "1");
    clock.run(1_000);
    for (let i = 0; i < 100; i++) b.gossip.deleteLocal(`endpoint:${i}`);
    clock.run(3_000);
    for (const { gossip } of [a, b]) {
      expect(gossip.node("b")?.entries.map(({ key, value, internal }) => [key, value, internal])).toEqual([
        ["_internal:private", "secret", true],
        ["proxy_addr", "b:8000", false],
        [COMPACT_KEY, "202", true],
      ]);
    }
    expect(a.told.filter((what) => what.includes("private"))).toEqual([]);
    expect(a.told.filter((what) => what === "delete b proxy_addr")).toEqual([]);
    expect(a.told.filter((what) => what.startsWith("delete b endpoint"))).toHaveLength(100);
    expect(a.gossip.entryCounts()).toContainEqual({ id: "b", total: 3, deleted: 0, internal: 2 });
  });

  it("may get an empty value again after they were deleted", () => {
    const a = startNode("a", A);
    const b = startNode("b", B, [`${A}:8003`]);
    b.gossip.upsertLocal("key", "");
    clock.run(500);
    b.gossip.deleteLocal("key");
    clock.run(500);
    b.gossip.upsertLocal("key", "");
    clock.run(500);
    expect(a.told).toEqual(["join b", "upsert b key", "delete b key", "upsert b key"]);
  });

  it("below the version that is known are skipped", () => {
    const a = startNode("a", A);
    const peer = new ScriptedPeer("peer", B);
    void a.gossip.join([peer.addr]);
    clock.run(500);
    peer.sendDelta(`${A}:8003`, [entry("k", "5", 5)]);
    clock.run(10);
    peer.sendDelta(`${A}:8003`, [entry("k", "4", 4), entry("l", "3", 3), entry("m", "6", 6)]);
    clock.run(10);
    expect(a.told).toEqual(["join peer", "upsert peer k 5", "upsert peer m 6"]);
  });

  it("are dropped by a compaction up to its version, and a marker that is no number ends the packet", () => {
    const a = startNode("a", A);
    const peer = new ScriptedPeer("peer", B);
    void a.gossip.join([peer.addr]);
    clock.run(500);
    peer.sendDelta(`${A}:8003`, [entry("a", "1", 1), entry("b", "1", 2), entry("a", "2", 3)]);
    clock.run(10);
    peer.sendDelta(`${A}:8003`, [entry(COMPACT_KEY, "2", 4, true)]);
    clock.run(10);
    peer.sendDelta(`${A}:8003`, [entry(COMPACT_KEY, "two", 5, true), entry("c", "1", 6)]);
    clock.run(10);
    expect(a.told.slice(1)).toEqual([
      "upsert peer a 1",
      "upsert peer b 1",
      "upsert peer a 2",
      "delete peer b",
    ]);
  });
});

describe("silence", () => {
  it("of this process itself is not blamed on others", () => {
    const lagging = new SimulatedClock();
    const a = startNode("a", A, [], { clock: lagging });
    startNode("b", B, [`${A}:8003`]);
    const both = (ms: number): void => {
      for (let i = 0; i < ms; i += 5) {
        clock.run(5);
        lagging.run(5);
      }
    };
    both(2_000);
    expect(a.view.routable()).toEqual(["b"]);
    // Stopped for a minute (SIGSTOP): when it goes on, one late tick runs before any answer has come.
    clock.run(60_000);
    const { setTimeout: arm } = lagging;
    lagging.setTimeout = (callback, ms) => arm.call(lagging, callback, ms + 60_000);
    both(200);
    lagging.setTimeout = (callback, ms) => arm.call(lagging, callback, ms);
    lagging.run(60_000);
    both(3_000);
    expect(a.told.filter((what) => what === "unreachable b")).toEqual([]);
  });

  it("is suspected long before it is an end, and again after each answer", () => {
    const told: [string, number][] = [];
    let cutAt = 0;
    const watch: GossipWatch = {
      onSuspect: () => told.push(["suspect", clock.now() - cutAt]),
      onUnreachable: () => told.push(["end", clock.now() - cutAt]),
    };
    startNode("a", A, [], { watch });
    startNode("b", B, [`${A}:8003`]);
    clock.run(10_000);
    for (const ms of [1_800, 3_000]) {
      cutAt = clock.now();
      network.partition([B]);
      clock.run(ms);
      network.heal();
      clock.run(5_000);
    }
    expect(told.map(([what]) => what)).toEqual(["suspect", "suspect", "end"]);
    for (const [what, ms] of told) expect(ms).toBeLessThan(what === "suspect" ? 1_400 : 3_000);
  });

  it("of packets alone is no death: TCP counts, too", () => {
    const a = startNode("a", A);
    const b = startNode("b", B, [`${A}:8003`]);
    b.gossip.upsertLocal("endpoint:x", "1");
    network.transport(`${A}:1`); // Keeps the host.
    const lossy = network.sendPacket.bind(network);
    network.sendPacket = () => {};
    clock.run(20_000);
    expect(a.view.nodes.get("b")?.keys.get("endpoint:x")).toBe("1");
    expect(a.told.filter((what) => what === "unreachable b")).toEqual([]);
    network.sendPacket = lossy;
  });
});
