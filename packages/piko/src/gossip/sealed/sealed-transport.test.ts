// Nodes whose gossip is sealed, on a simulated network that somebody listens on, copies from and writes to.

import { SeededRandom, SimulatedClock, SimulatedNetwork, View } from "@piko/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { Gossip } from "../gossip.js";
import { Drops } from "../protocol/drops.js";
import type { JoinResult } from "../protocol/seeds.js";
import type { GossipTransport } from "../protocol/transport.js";
import { type GossipKey, createGossipKey } from "./gossip-key.js";
import { KeyRing } from "./key-ring.js";
import { type GossipEncryption, SealedTransport } from "./sealed-transport.js";

const ONE = createGossipKey(Buffer.alloc(32, 1));
const TWO = createGossipKey(Buffer.alloc(32, 2));

let clock: SimulatedClock;
let network: SimulatedNetwork;
let random: SeededRandom;
/** What has gone over the network. */
let captured: { to: string; from: string; bytes: Buffer; tcp: boolean }[];
let hosts: number;

beforeEach(() => {
  clock = new SimulatedClock();
  random = new SeededRandom(1);
  network = new SimulatedNetwork(clock, random);
  captured = [];
  hosts = 0;
});

/** What a node logged of others' clocks. */
function clockWarnings(node: Node): { id: string; aheadMs: number }[] {
  return node.logged
    .filter(({ message }) => message.startsWith("a node's clock differs"))
    .map(({ fields }) => fields as { "node-id": string; "ahead-ms": number })
    .map((fields) => ({ id: fields["node-id"], aheadMs: fields["ahead-ms"] }));
}

interface Settings {
  encryption: GossipEncryption;
  keys: readonly GossipKey[];
  clusterName: string;
  aheadMs: number;
}

interface Node {
  readonly gossip: Gossip;
  readonly transport: SealedTransport;
  readonly view: View;
  readonly addr: string;
  readonly drops: Drops;
  readonly ring: KeyRing;
  readonly logged: { message: string; fields: object }[];
  result?: JoinResult;
}

/** Starts a node on a host of its own; with required encryption unless said otherwise. */
function start(id: string, settings: Partial<Settings> = {}, seeds: string[] = []): Node {
  const { encryption = "required", keys = [ONE], clusterName = "piko" } = settings;
  const addr = `10.0.0.${++hosts}:8003`;
  const logged: Node["logged"] = [];
  const log = (message: string, fields: object = {}): void => void logged.push({ message, fields });
  const logger = { debug: () => {}, info: log, warn: log };
  const drops = new Drops(clock, logger);
  const ring = new KeyRing(clusterName, keys);
  const transport = new SealedTransport({
    transport: tap(addr, network.transport(addr)),
    encryption,
    keys: ring,
    lifeId: Buffer.from(random.bytes(16)),
    maxClockSkewMs: 60_000,
    drops,
    clock,
    wallNow: () => 1_700_000_000_000 + clock.now() + (settings.aheadMs ?? 0),
  });
  const view = new View(id);
  const gossip = new Gossip({
    nodeId: id,
    addr,
    transport,
    watch: view,
    clock,
    random: () => random.next(),
    resolve: (addresses, done) => done({ targets: addresses, failures: [] }),
    logger,
  });
  gossip.start();
  const node: Node = { gossip, transport, view, addr, drops, ring, logged };
  if (seeds.length > 0) void gossip.join(seeds).then((result) => (node.result = result));
  return node;
}

/** The same transport, overheard. */
function tap(from: string, inner: GossipTransport): GossipTransport {
  return {
    attach: (receiver) => inner.attach(receiver),
    sendPacket: (to, packet) => {
      captured.push({ to, from, bytes: packet, tcp: false });
      inner.sendPacket(to, packet);
    },
    exchange: (to, request, end, timeoutMs, done) => {
      captured.push({ to, from, bytes: request, tcp: true });
      return inner.exchange(to, request, end, timeoutMs, (error, response) => {
        captured.push({ to: from, from: to, bytes: response, tcp: true });
        done(error, response);
      });
    },
    comesFrom: (address, ip) => inner.comesFrom(address, ip),
    close: () => inner.close(),
  };
}

/** Runs, and lets promises have their turn. */
async function run(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) {
    clock.run(Math.min(left, 100));
    for (let i = 0; i < 4; i++) await Promise.resolve();
  }
}

function dropped(node: Node): Record<string, number> {
  return Object.fromEntries([...node.drops.counts].filter(([, count]) => count > 0));
}

function isWhole(...nodes: Node[]): boolean {
  return nodes.every(({ view }) => view.routable().length === nodes.length - 1);
}

/** Sends something to a node from an address, as anybody can. */
function send(from: string, to: string, bytes: Buffer): void {
  network.sendPacket(network.transport(from), to, bytes);
}

describe("sealed gossip", () => {
  it("shows no id, no name and no address to those who listen, and is a cluster", async () => {
    const a = start("node-anna", {});
    const b = start("node-bert", {}, [a.addr]);
    const c = start("node-carl", {}, [a.addr]);
    for (const { gossip } of [a, b, c]) gossip.upsertLocal("endpoint:my-endpoint", "1");
    for (let i = 0; i < 2_000; i++) a.gossip.upsertLocal(`endpoint:many-${i}`, "1");
    await run(5_000);
    void c.gossip.leave();
    await run(1_000);
    expect(b.view.nodes.get("node-anna")?.keys.size).toBe(2_001);
    expect(a.view.nodes.get("node-carl")?.left).toBe(true);
    expect(captured.some(({ tcp }) => tcp)).toBe(true);
    expect(captured.length).toBeGreaterThan(200);
    for (const { bytes } of captured) {
      expect(bytes.toString("latin1")).not.toMatch(/node-|endpoint|many|10\.0\.0|8003|_internal|addr/);
      expect(bytes.length <= 1_400 || bytes.length > 50_000).toBe(true);
    }
    expect([a, b, c].map(dropped)).toEqual([{}, {}, {}]);
  });

  it("counts its bytes on the wire, with those of what it drops", async () => {
    const [a, b, strange] = [start("a"), start("b", {}, ["10.0.0.1:8003"]), Buffer.from("nobody's")];
    for (let i = 0; i < 5_000; i++) a.gossip.upsertLocal(`endpoint:many-${i}`, "1");
    send("10.9.9.9:1", b.addr, strange);
    captured.push({ from: "", to: b.addr, bytes: strange, tcp: false });
    await run(5_000);
    for (const { addr, gossip, transport } of [a, b]) {
      for (const of of Object.keys(transport.overhead) as (keyof typeof transport.overhead)[]) {
        const [end, tcp] = [of.endsWith("Inbound") ? "to" : "from", of.startsWith("stream")] as const;
        const seen = captured.filter((each) => each[end] === addr && each.tcp === tcp);
        const { length } = Buffer.concat(seen.map(({ bytes }) => bytes));
        expect(gossip.counters[of] + transport.overhead[of]).toBe(length);
      }
    }
  });

  it("sends the same bytes as ever when it is off", async () => {
    const capture = async (sealed: boolean): Promise<string[]> => {
      clock = new SimulatedClock();
      random = new SeededRandom(7);
      network = new SimulatedNetwork(clock, random);
      captured = [];
      for (const [i, id] of ["a", "b", "c"].entries()) {
        const addr = `10.0.0.${i + 1}:8003`;
        const inner = tap(addr, network.transport(addr));
        const drops = new Drops(clock, { debug: () => {}, info: () => {}, warn: () => {} });
        const lifeId = Buffer.alloc(16, i);
        const off = { encryption: "off", keys: new KeyRing("piko", []), maxClockSkewMs: 1_000 } as const;
        const gossip = new Gossip({
          nodeId: id,
          addr,
          transport: sealed
            ? new SealedTransport({ transport: inner, ...off, lifeId, drops, clock, wallNow: () => 0 })
            : inner,
          clock,
          random: () => random.next(),
          resolve: (addresses, done) => done({ targets: addresses, failures: [] }),
        });
        gossip.start();
        gossip.upsertLocal("endpoint:x", "1");
        if (i > 0) void gossip.join(["10.0.0.1:8003"]);
      }
      await run(10_000);
      return captured.map(({ to, bytes }) => `${to} ${bytes.toString("hex")}`);
    };
    const plain = await capture(false);
    expect(plain.length).toBeGreaterThan(500);
    expect(await capture(true)).toEqual(plain);
  });

  it.each([
    ["off", "off"],
    ["off", "accept"],
    ["accept", "accept"],
    ["accept", "prefer"],
    ["prefer", "prefer"],
    ["prefer", "required"],
    ["required", "required"],
  ] as const)("understands %s and %s together, whoever comes first", async (one, other) => {
    for (const [first, second] of [
      [one, other],
      [other, one],
    ] as const) {
      const a = start("a", { encryption: first });
      const b = start("b", { encryption: second }, [a.addr]);
      const c = start("c", { encryption: first }, [a.addr]);
      await run(30_000);
      expect(isWhole(a, b, c)).toBe(true);
      expect([a, b, c].map(dropped)).toEqual([{}, {}, {}]);
      expect(a.logged.filter(({ message }) => /unreachable|dropped/.test(message))).toEqual([]);
    }
  });

  it.each([
    ["off", "required", "key", "plain", "refused by the other node: it takes encrypted gossip only"],
    ["accept", "required", "", "plain", "refused by the other node: it takes encrypted gossip only"],
  ] as const)("keeps %s out of %s, and both are told", async (outside, inside, _there, here, told) => {
    const a = start("a", { encryption: inside });
    const x = start("x", { encryption: outside }, [a.addr]);
    await run(20_000);
    expect(a.view.nodes.size + x.view.nodes.size).toBe(0);
    expect(dropped(a)[here]).toBeGreaterThan(0);
    expect(x.result?.failures[0]?.error.message).toContain(told);
  });
});

describe("a node that doesn't belong", () => {
  it.each([
    ["another key", { keys: [TWO] }, "key", "it doesn't have the key"],
    ["another cluster's name", { clusterName: "other" }, "malformed", "is its cluster.name another one?"],
    ["no key", { encryption: "off" as const, keys: [] }, "plain", "it takes encrypted gossip only"],
    [
      "a clock ahead",
      { aheadMs: 600_000 } as Partial<Settings>,
      "clock",
      "clock is 600.0 s behind this one's",
    ],
    ["a clock behind", { aheadMs: -600_000 }, "clock", "clock is 600.0 s ahead of this one's"],
  ])("with %s is refused, counted and told", async (_what, settings, reason, told) => {
    const a = start("a");
    const b = start("b", {}, [a.addr]);
    await run(2_000);
    const x = start("x", settings, [a.addr, b.addr]);
    await run(20_000);
    expect(x.result?.outcome).toBe("failed");
    expect(x.result?.failures.map(({ error }) => error.message)).toEqual([
      expect.stringContaining(told),
      expect.stringContaining(told),
    ]);
    expect(Object.keys(dropped(a))).toEqual([reason]);
    expect(isWhole(a, b)).toBe(true);
    expect(x.view.nodes.size).toBe(0);
    const words = a.logged.map(({ message, fields }) => `${message} ${JSON.stringify(fields)}`);
    expect(words.filter((line) => line.startsWith("gossip message dropped")).length).toBe(1);
    if (reason === "clock") {
      expect(clockWarnings(a).map(({ id }) => id)).toEqual(["x"]);
      const aheadMs = clockWarnings(a)[0]?.aheadMs ?? 0;
      expect(Math.abs(aheadMs - (settings.aheadMs ?? 0))).toBeLessThan(100);
    }
  });

  it("is one whose key is removed while it runs: both sides drop, count and give the other up", async () => {
    const a = start("a", { keys: [ONE] });
    const b = start("b", {}, [a.addr]);
    const x = start("x", {}, [a.addr]);
    await run(3_000);
    expect(isWhole(a, b, x)).toBe(true);
    for (const { ring } of [a, b]) ring.replace([ONE, TWO]);
    for (const { ring } of [a, b]) ring.replace([TWO, ONE]);
    for (const { ring } of [a, b]) ring.replace([TWO]);
    await run(4_000);
    expect(a.view.routable()).toEqual(["b"]);
    expect(x.view.routable()).toEqual([]);
    expect(dropped(a)["key"]).toBeGreaterThan(5);
    expect(dropped(x)["key"]).toBeGreaterThan(5);
  });

  it("is one whose clock runs away: both sides say the other's name and by how much", async () => {
    const a = start("a");
    const settings = { aheadMs: 0 };
    const x = start("x", settings, [a.addr]);
    await run(3_000);
    expect(isWhole(a, x)).toBe(true);
    settings.aheadMs = -90_000;
    await run(70_000);
    for (const [node, other, aheadMs] of [
      [a, "x", -90_000],
      [x, "a", 90_000],
    ] as const) {
      expect(node.view.routable()).toEqual([]);
      expect(dropped(node)).toEqual({ clock: expect.any(Number) });
      // Once a minute.
      expect(clockWarnings(node).map(({ id }) => id)).toEqual([other, other]);
      for (const warning of clockWarnings(node)) expect(warning.aheadMs / aheadMs).toBeCloseTo(1, 3);
    }
  });
});

describe("keys", () => {
  it("are replaced one after the other while all go on", async () => {
    const nodes = [start("a")];
    const [first] = nodes as [Node];
    for (const id of ["b", "c"]) nodes.push(start(id, {}, [first.addr]));
    await run(3_000);
    for (const keys of [[ONE, TWO], [TWO, ONE], [TWO]]) {
      for (const { ring } of nodes) {
        ring.replace(keys);
        await run(2_000);
      }
    }
    await run(5_000);
    expect(isWhole(...nodes)).toBe(true);
    expect(nodes.map(dropped)).toEqual([{}, {}, {}]);
    for (const { logged } of nodes)
      expect(logged.filter(({ message }) => /unreach/.test(message))).toEqual([]);
  });
});

describe("a copy", () => {
  /** Two nodes that know each other, and what one has sent to the other since. */
  async function overheard(): Promise<{ a: Node; b: Node; c: Node; packets: Buffer[] }> {
    const a = start("a");
    const b = start("b", {}, [a.addr]);
    const c = start("c", {}, [a.addr]);
    await run(2_000);
    expect(isWhole(a, b, c)).toBe(true);
    captured = [];
    await run(3_000);
    const packets = captured.filter(({ from, to }) => from === b.addr && to === a.addr);
    expect(packets.length).toBeGreaterThan(20);
    return { a, b, c, packets: packets.map(({ bytes }) => bytes) };
  }

  it("that comes to the same node again counts nothing and changes nothing", async () => {
    const { a, b, packets } = await overheard();
    const sent = captured.length;
    network.crash(network.transport(b.addr), "host");
    await b.gossip.close();
    const before = clock.now();
    for (let i = 0; i < 40; i++) {
      for (const packet of packets) send(b.addr, a.addr, packet);
      await run(100);
    }
    expect(dropped(a)["replay"]).toBe(packets.length * 40);
    expect(captured.length - sent).toBeGreaterThan(0);
    // Its copies don't keep it alive.
    expect(a.view.nodes.get("b")?.unreachable).toBe(true);
    expect(clock.now() - before).toBeLessThan(4_500);
  });

  it("that comes to another node is no sign of life there", async () => {
    const { b, c, packets } = await overheard();
    network.crash(network.transport(b.addr), "host");
    await b.gossip.close();
    let next = 0;
    // Each once, spread over the time in which b falls silent.
    for (let i = 0; i < 40; i++) {
      for (; next < (packets.length * (i + 1)) / 40; next++) send(b.addr, c.addr, packets[next] as Buffer);
      await run(100);
    }
    expect(c.view.nodes.get("b")?.unreachable).toBe(true);
    expect(dropped(c)).toEqual({});
  });

  it("that is held back is a sign of life of when its question was sent, if at all", async () => {
    const { a, b } = await overheard();
    // Everything from b to a is held back from now on, and comes 2 s late, for good.
    const late: { at: number; bytes: Buffer }[] = [];
    const inner = network.sendPacket.bind(network);
    network.sendPacket = (from, to, bytes) => {
      if (from.address === b.addr && to === a.addr) late.push({ at: clock.now() + 2_000, bytes });
      else inner(from, to, bytes);
    };
    network.exchange = () => () => {};
    let unreachable = false;
    for (let i = 0; i < 60; i++) {
      await run(100);
      while (late[0] !== undefined && late[0].at <= clock.now())
        inner(network.transport(b.addr), a.addr, late.shift()?.bytes ?? Buffer.alloc(0));
      unreachable ||= a.view.nodes.get("b")?.unreachable === true;
    }
    expect(unreachable).toBe(true);
  });
});
