// What an attacker who reaches the gossip port, and can forge the sender of datagrams, can make a node do to others.

import { SeededRandom, SimulatedClock, SimulatedNetwork, View } from "@piko/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { Gossip } from "./gossip.js";
import { joinAnswerEnd } from "./wire/message-end.js";
import { type DigestEntry, type Entry, LEFT_KEY, type Sender } from "./wire/messages.js";
import { MsgpackWriter } from "./wire/msgpack-writer.js";
import { writeDeltaHead, writeDigestHead, writePacketNode } from "./wire/packet-codec.js";
import { encodeJoinRequest, encodeLeaveRequest } from "./wire/stream-codec.js";
import { writeDigestEntry, writeEntry } from "./wire/struct-codec.js";

let clock: SimulatedClock;
let network: SimulatedNetwork;
let random: SeededRandom;
/** Bytes and packets that reached the victim, which doesn't run gossip. */
let hit: { bytes: number; packets: number };

const NODE = "10.0.0.1:8003";
const VICTIM = "10.0.9.9:53";

beforeEach(() => {
  clock = new SimulatedClock();
  random = new SeededRandom(1);
  network = new SimulatedNetwork(clock, random);
  hit = { bytes: 0, packets: 0 };
});

function startNode(id: string, addr: string, seeds: string[] = []): { gossip: Gossip; view: View } {
  const view = new View(id);
  const gossip = new Gossip({
    nodeId: id,
    addr,
    transport: network.transport(addr),
    watch: view,
    clock,
    random: () => random.next(),
    resolve: (addresses, done) => done({ targets: addresses, failures: [] }),
  });
  gossip.start();
  if (seeds.length > 0) void gossip.join(seeds);
  return { gossip, view };
}

/** Counts everything that is sent to the victim's host. Packets sent from the returned transport are forged. */
function victimTransport(addr = VICTIM): ReturnType<SimulatedNetwork["transport"]> {
  const transport = network.transport(addr);
  transport.attach({
    onPacket: (packet) => {
      hit.bytes += packet.length;
      hit.packets += 1;
    },
    onRequest: (_request, _ip, answer) => answer(undefined),
  });
  return transport;
}

function digest(from: Sender, entries: readonly DigestEntry[] = [], request = true): Buffer {
  const writer = new MsgpackWriter();
  writeDigestHead(writer, from, request);
  for (const entry of entries) writeDigestEntry(writer, entry);
  return writer.copy();
}

function delta(from: Sender, entries: readonly Entry[] = [], id = from.nodeId): Buffer {
  const writer = new MsgpackWriter();
  writeDeltaHead(writer, from);
  if (entries.length > 0) writePacketNode(writer, id, from.addr, entries.length);
  for (const entry of entries) writeEntry(writer, entry);
  return writer.copy();
}

function entry(key: string, version: number, internal = false): Entry {
  return { key, value: "1", version, internal, deleted: false };
}

/** Sends a request over TCP from an IP address; returns whether it was answered. */
function request(fromIp: string, bytes: Buffer): boolean {
  let answered: boolean | undefined;
  network.transport(`${fromIp}:40000`).exchange(NODE, bytes, joinAnswerEnd(), 1_000, (error) => {
    answered = error === undefined;
  });
  clock.run(1_100, () => answered !== undefined);
  return answered === true;
}

describe("an address that never answered", () => {
  it("gets at most three bytes for each byte that was sent in its name", () => {
    startNode("a", NODE);
    const forged = victimTransport();
    const packet = digest({ nodeId: "x", addr: VICTIM });
    expect(packet.length).toBeLessThan(60);
    forged.sendPacket(NODE, packet);
    clock.run(600_000);
    // Nor does it get more over the following minutes.
    expect(hit.bytes).toBeLessThanOrEqual(3 * packet.length + 200);
    expect(hit.packets).toBeLessThanOrEqual(3);
    let sent = packet.length;
    for (let i = 0; i < 300; i++) {
      forged.sendPacket(NODE, packet);
      sent += packet.length;
      clock.run(100);
    }
    expect(hit.bytes / sent).toBeLessThan(3.1);
  });

  it("gets no more when its answers are forged, too, although it then counts as a member", () => {
    const a = startNode("a", NODE);
    for (let i = 0; i < 500; i++) a.gossip.upsertLocal(`endpoint:${i}`, "1");
    const b = startNode("b", "10.0.0.2:8003", [NODE]);
    clock.run(1_000);
    const forged = victimTransport();
    const from: Sender = { nodeId: "x", addr: VICTIM };
    let sent = 0;
    const send = (packet: Buffer, to = NODE): void => {
      sent += packet.length;
      forged.sendPacket(to, packet);
    };
    for (let i = 0; i < 300; i++) {
      send(digest(from, [{ id: "a", addr: NODE, version: 0, left: false }]));
      send(delta(from));
      if (i > 0) send(delta(from), "10.0.0.2:8003");
      clock.run(100);
    }
    expect(a.view.nodes.has("x")).toBe(true);
    expect(hit.packets).toBeGreaterThan(100);
    expect(hit.bytes / sent).toBeLessThan(3.1);
    clock.run(4_000);
    const before = hit.bytes;
    // Now that it is gone, it is probed occasionally, within the remaining allowance.
    clock.run(600_000);
    expect(hit.bytes / sent).toBeLessThan(3.1);
    expect(hit.bytes - before).toBeLessThan(sent);
    expect(b.view.routable()).toEqual(["a"]);
  });

  it("gets three probes when others mention it, and then at most one every four seconds", () => {
    startNode("a", NODE);
    victimTransport();
    const liar = network.transport("10.0.0.5:8003");
    const from: Sender = { nodeId: "liar", addr: "10.0.0.5:8003" };
    liar.attach({
      onPacket: () => liar.sendPacket(NODE, delta(from)),
      onRequest: (_request, _ip, answer) => answer(undefined),
    });
    const lie = [{ id: "x", addr: VICTIM, version: 1, left: false }];
    liar.sendPacket(NODE, digest(from, lie));
    clock.run(4_000);
    expect(hit.packets).toBe(3);
    clock.run(600_000);
    expect(hit.packets).toBe(3);
    for (let i = 0; i < 600; i++) {
      liar.sendPacket(NODE, digest(from, lie));
      clock.run(100);
    }
    expect(hit.packets).toBeLessThanOrEqual(3 + 60 / 4 + 1);
  });

  it("shares the probes of its host with all ports of that host", () => {
    startNode("a", NODE);
    for (let port = 1; port <= 2_000; port++) victimTransport(`10.0.9.9:${port}`);
    const liar = network.transport("10.0.0.5:8003");
    const from: Sender = { nodeId: "liar", addr: "10.0.0.5:8003" };
    for (let i = 0; i < 100; i++) {
      const lies = Array.from({ length: 20 }, (_, n) => i * 20 + n + 1).map((port) => ({
        id: `x${port}`,
        addr: `10.0.9.9:${port}`,
        version: 1,
        left: false,
      }));
      liar.sendPacket(NODE, digest(from, lies));
      clock.run(100);
    }
    // 64 at once, then 20 a second.
    expect(hit.packets).toBeLessThanOrEqual(64 + 10 * 20 + 20);
  });
});

describe("a stranger", () => {
  function cluster(): { a: ReturnType<typeof startNode>; b: ReturnType<typeof startNode> } {
    const a = startNode("a", NODE);
    const b = startNode("b", "10.0.0.2:8003", [NODE]);
    b.gossip.upsertLocal("endpoint:x", "1");
    clock.run(1_000);
    expect(a.view.nodes.get("b")?.keys.get("endpoint:x")).toBe("1");
    return { a, b };
  }

  const leaving = { ...entry(LEFT_KEY, 2 ** 40, true), value: "" };

  it("can't speak for a member by packets from its own address", () => {
    const { a } = cluster();
    const stranger = network.transport("10.0.0.66:8003");
    for (const addr of ["10.0.0.2:8003", "10.0.0.66:8003"]) {
      stranger.sendPacket(NODE, delta({ nodeId: "b", addr }, [entry("endpoint:x", 2 ** 30), leaving]));
      stranger.sendPacket(NODE, digest({ nodeId: "b", addr }));
    }
    clock.run(1_000);
    expect(a.view.nodes.get("b")?.left).toBe(false);
    expect(a.gossip.node("b")?.version).toBeLessThan(100);
    expect(a.gossip.counters.packetsRefused).toBe(4);
  });

  it("can't speak for a member over TCP either", () => {
    const { a } = cluster();
    const keys = [entry("endpoint:evil", 2 ** 30), leaving];
    for (const addr of ["10.0.0.2:8003", "10.0.0.66:8003"]) {
      const from: Sender = { nodeId: "b", addr };
      expect(request("10.0.0.66", encodeJoinRequest(from, [{ id: "b", addr, entries: keys }], []))).toBe(
        true,
      );
      request("10.0.0.66", encodeLeaveRequest(from, [{ id: "b", addr, entries: keys }]));
    }
    clock.run(1_000);
    expect(a.view.nodes.get("b")).toMatchObject({ left: false, unreachable: false });
    expect([...(a.view.nodes.get("b")?.keys.keys() ?? [])]).toEqual(["endpoint:x"]);
  });

  it("can't announce anything about itself from another address before it has answered at the address that it claims", () => {
    const { a } = cluster();
    victimTransport();
    const from: Sender = { nodeId: "x", addr: VICTIM };
    request("10.0.0.66", encodeJoinRequest(from, [{ id: "x", addr: VICTIM, entries: [entry("k", 1)] }], []));
    clock.run(60_000);
    expect(a.view.nodes.has("x")).toBe(false);
    expect(hit.packets).toBe(3);
  });
});

describe("datagrams forged in a member's name, with its address as their sender", () => {
  /** Starts two nodes, and `others` more, and forges one packet of b to a. Measures the time until a's view is right again. */
  function forge(keys: readonly Entry[], others = 0): { healedMs: number | undefined; fooled: number } {
    const a = startNode("a", NODE);
    const b = startNode("b", "10.0.0.2:8003", [NODE]);
    for (let i = 0; i < others; i++) startNode(`c${i}`, `10.0.1.${i}:8003`, [NODE]);
    b.gossip.upsertLocal("endpoint:x", "1");
    clock.run(2_000);
    const isCorrect = (): boolean => {
      const known = a.view.nodes.get("b");
      return (
        known?.left === false &&
        !known.unreachable &&
        known.keys.get("endpoint:x") === "1" &&
        known.keys.size === 1
      );
    };
    expect(isCorrect()).toBe(true);
    // Another port on b's host has b's IP address.
    network.transport("10.0.0.2:9999").sendPacket(NODE, delta({ nodeId: "b", addr: "10.0.0.2:8003" }, keys));
    const start = clock.now();
    clock.run(100, () => !isCorrect());
    const fooled = isCorrect() ? 0 : 1;
    let healedMs: number | undefined;
    for (let ms = 0; ms < 300_000 && healedMs === undefined; ms += 10) {
      clock.run(10);
      if (isCorrect()) healedMs = clock.now() - start;
    }
    return { healedMs, fooled };
  }

  const leaving = (version: number): Entry => ({ ...entry(LEFT_KEY, version, true), value: "" });

  it.each([
    ["the leaving of a node", [leaving(1_000)], 0],
    ["the leaving of a node in a larger cluster", [leaving(1_000)], 8],
    ["the leaving of a node at a far higher version", [leaving(2 ** 32)], 0],
    ["a new endpoint", [entry("endpoint:evil", 1_000)], 0],
    ["the removal of an endpoint", [{ ...entry("endpoint:x", 1_000), value: "", deleted: true }], 0],
    [
      "the removal of an endpoint in a larger cluster",
      [{ ...entry("endpoint:x", 1_000), value: "", deleted: true }],
      8,
    ],
  ] as const)("%s is believed for a moment, until the node refutes it", (_what, keys, others) => {
    const { fooled, healedMs } = forge(keys, others);
    expect(fooled).toBe(1);
    expect(healedMs).toBeLessThan(2_000);
  });
});

describe("the leaving of a node, forged ten times a second", () => {
  it("keeps the node out only while it lasts", () => {
    const a = startNode("a", NODE);
    startNode("b", "10.0.0.2:8003", [NODE]);
    clock.run(2_000);
    const forged = network.transport("10.0.0.2:9999");
    let out = 0;
    for (let i = 0; i < 300; i++) {
      const marker: Entry = { ...entry(LEFT_KEY, 2 ** 31 + 2 ** 22 * i, true), value: "" };
      forged.sendPacket(NODE, delta({ nodeId: "b", addr: "10.0.0.2:8003" }, [marker]));
      clock.run(100);
      if (!a.view.routable().includes("b")) out += 1;
    }
    expect(out).toBeGreaterThan(150);
    expect(clock.run(3_000, () => a.view.routable().includes("b"))).toBe(true);
  });
});

describe("a member behind address translation", () => {
  it("is accepted from the address that its packets come from, and from no other", () => {
    const a = startNode("a", NODE);
    const addr = "10.0.0.7:8003";
    const from: Sender = { nodeId: "n", addr };
    // The member can be reached at its own address, but its packets come from a gateway.
    const inside = network.transport(addr);
    const gateway = network.transport("10.0.0.8:50000");
    const others = network.transport("10.0.0.66:8003");
    let version = 1;
    inside.attach({
      onPacket: () => gateway.sendPacket(NODE, delta(from, [entry("endpoint:x", version)])),
      onRequest: (_request, _ip, answer) => {
        const writer = new MsgpackWriter();
        writer.raw(encodeJoinRequest(from, [], []).subarray(2, -2));
        writer.nil();
        answer([writer.copy()].values());
      },
    });
    void a.gossip.join([addr]);
    clock.run(1_000);
    expect(a.view.nodes.get("n")?.keys.size).toBe(1);
    others.sendPacket(NODE, delta(from, [{ ...entry(LEFT_KEY, 100, true), value: "" }]));
    clock.run(100);
    expect(a.view.nodes.get("n")?.left).toBe(false);
    version = 7;
    clock.run(10_000);
    expect(a.gossip.node("n")?.version).toBe(7);
    expect(a.view.routable()).toEqual(["n"]);
  });
});
