// Nodes with sealed gossip: what is visible on the network, who is kept out and learns why, and keys that are replaced.

import { beforeEach, describe, expect, it } from "vitest";
import {
  dropped,
  isWhole,
  ONE,
  SealedLab,
  type SealedNode,
  type Settings,
} from "../../../test/sealed-lab.js";
import { Gossip } from "../gossip.js";
import { Drops } from "../protocol/drops.js";
import { createGossipKey } from "./gossip-key.js";
import { KeyRing } from "./key-ring.js";
import { SealedTransport } from "./sealed-transport.js";

const TWO = createGossipKey(Buffer.alloc(32, 2));

let lab: SealedLab;

beforeEach(() => {
  lab = new SealedLab();
});

/** What a node logged about others' clocks. */
function clockWarnings(node: SealedNode): { id: string; aheadMs: number }[] {
  return node.logged
    .filter(({ message }) => message.startsWith("a node's clock differs"))
    .map(({ fields }) => fields as { "node-id": string; "ahead-ms": number })
    .map((fields) => ({ id: fields["node-id"], aheadMs: fields["ahead-ms"] }));
}

describe("sealed gossip", () => {
  it("shows no id, name or address to eavesdroppers, and forms a cluster", async () => {
    const a = lab.start("node-anna", {});
    const b = lab.start("node-bert", {}, [a.addr]);
    const c = lab.start("node-carl", {}, [a.addr]);
    for (const { gossip } of [a, b, c]) gossip.upsertLocal("endpoint:my-endpoint", "1");
    for (let i = 0; i < 2_000; i++) a.gossip.upsertLocal(`endpoint:many-${i}`, "1");
    await lab.run(5_000);
    void c.gossip.leave();
    await lab.run(1_000);
    expect(b.view.nodes.get("node-anna")?.keys.size).toBe(2_001);
    expect(a.view.nodes.get("node-carl")?.left).toBe(true);
    expect(lab.captured.some(({ tcp }) => tcp)).toBe(true);
    expect(lab.captured.length).toBeGreaterThan(200);
    for (const { bytes } of lab.captured) {
      expect(bytes.toString("latin1")).not.toMatch(/node-|endpoint|many|10\.0\.0|8003|_internal|addr/);
      expect(bytes.length <= 1_400 || bytes.length > 50_000).toBe(true);
    }
    expect([a, b, c].map(dropped)).toEqual([{}, {}, {}]);
  });

  it("counts its bytes on the wire, including those that it drops", async () => {
    const [a, b, strange] = [lab.start("a"), lab.start("b", {}, ["10.0.0.1:8003"]), Buffer.from("nobody's")];
    for (let i = 0; i < 5_000; i++) a.gossip.upsertLocal(`endpoint:many-${i}`, "1");
    lab.send("10.9.9.9:1", b.addr, strange);
    lab.captured.push({ from: "", to: b.addr, bytes: strange, tcp: false });
    await lab.run(5_000);
    for (const { addr, gossip, transport } of [a, b]) {
      for (const of of Object.keys(transport.overhead) as (keyof typeof transport.overhead)[]) {
        const [end, tcp] = [of.endsWith("Inbound") ? "to" : "from", of.startsWith("stream")] as const;
        const seen = lab.captured.filter((each) => each[end] === addr && each.tcp === tcp);
        const { length } = Buffer.concat(seen.map(({ bytes }) => bytes));
        expect(gossip.counters[of] + transport.overhead[of]).toBe(length);
      }
    }
  });

  it("sends exactly the plain protocol's bytes when it is off", async () => {
    const capture = async (sealed: boolean): Promise<string[]> => {
      lab = new SealedLab(7);
      for (const [i, id] of ["a", "b", "c"].entries()) {
        const addr = `10.0.0.${i + 1}:8003`;
        const inner = lab.tap(addr, lab.network.transport(addr));
        const drops = new Drops(lab.clock, { debug: () => {}, info: () => {}, warn: () => {} });
        const lifeId = Buffer.alloc(16, i);
        const off = { encryption: "off", keys: new KeyRing("piko", []), maxClockSkewMs: 1_000 } as const;
        const gossip = new Gossip({
          nodeId: id,
          addr,
          transport: sealed
            ? new SealedTransport({
                transport: inner,
                ...off,
                lifeId,
                drops,
                clock: lab.clock,
                wallNow: () => 0,
              })
            : inner,
          clock: lab.clock,
          random: () => lab.random.next(),
          resolve: (addresses, done) => done({ targets: addresses, failures: [] }),
        });
        gossip.start();
        gossip.upsertLocal("endpoint:x", "1");
        if (i > 0) void gossip.join(["10.0.0.1:8003"]);
      }
      await lab.run(10_000);
      return lab.captured.map(({ to, bytes }) => `${to} ${bytes.toString("hex")}`);
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
  ] as const)("connects nodes with %s and %s, whichever starts first", async (one, other) => {
    for (const [first, second] of [
      [one, other],
      [other, one],
    ] as const) {
      const a = lab.start("a", { encryption: first });
      const b = lab.start("b", { encryption: second }, [a.addr]);
      const c = lab.start("c", { encryption: first }, [a.addr]);
      await lab.run(30_000);
      expect(isWhole(a, b, c)).toBe(true);
      expect([a, b, c].map(dropped)).toEqual([{}, {}, {}]);
      expect(a.logged.filter(({ message }) => /unreachable|dropped/.test(message))).toEqual([]);
    }
  });

  it.each([
    ["off", "required", "key", "plain", "refused by the other node: it accepts encrypted gossip only"],
    ["accept", "required", "", "plain", "refused by the other node: it accepts encrypted gossip only"],
  ] as const)(
    "keeps a node with %s out of a cluster with %s, and both learn why",
    async (outside, inside, _there, here, message) => {
      const a = lab.start("a", { encryption: inside });
      const x = lab.start("x", { encryption: outside }, [a.addr]);
      await lab.run(20_000);
      expect(a.view.nodes.size + x.view.nodes.size).toBe(0);
      expect(dropped(a)[here]).toBeGreaterThan(0);
      expect(x.result?.failures[0]?.error.message).toContain(message);
    },
  );
});

describe("a node that doesn't belong to the cluster", () => {
  it.each([
    ["another key", { keys: [TWO] }, "key", "it doesn't have the key"],
    ["another cluster's name", { clusterName: "other" }, "malformed", "is its cluster.name another one?"],
    ["no key", { encryption: "off" as const, keys: [] }, "plain", "it accepts encrypted gossip only"],
    [
      "a clock that is ahead",
      { aheadMs: 600_000 } as Partial<Settings>,
      "clock",
      "clock is 600.0 s behind this one's",
    ],
    ["a clock that is behind", { aheadMs: -600_000 }, "clock", "clock is 600.0 s ahead of this one's"],
  ])("with %s is refused and counted, and learns why", async (_what, settings, reason, message) => {
    const a = lab.start("a");
    const b = lab.start("b", {}, [a.addr]);
    await lab.run(2_000);
    const x = lab.start("x", settings, [a.addr, b.addr]);
    await lab.run(20_000);
    expect(x.result?.outcome).toBe("failed");
    expect(x.result?.failures.map(({ error }) => error.message)).toEqual([
      expect.stringContaining(message),
      expect.stringContaining(message),
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

  it("is one whose key is removed while it runs: both sides drop its messages, count them, and give each other up", async () => {
    const a = lab.start("a", { keys: [ONE] });
    const b = lab.start("b", {}, [a.addr]);
    const x = lab.start("x", {}, [a.addr]);
    await lab.run(3_000);
    expect(isWhole(a, b, x)).toBe(true);
    for (const { ring } of [a, b]) ring.replace([ONE, TWO]);
    for (const { ring } of [a, b]) ring.replace([TWO, ONE]);
    for (const { ring } of [a, b]) ring.replace([TWO]);
    await lab.run(4_000);
    expect(a.view.routable()).toEqual(["b"]);
    expect(x.view.routable()).toEqual([]);
    expect(dropped(a)["key"]).toBeGreaterThan(5);
    expect(dropped(x)["key"]).toBeGreaterThan(5);
  });

  it("is one whose clock drifts: both sides log the other's id and the difference", async () => {
    const a = lab.start("a");
    const settings = { aheadMs: 0 };
    const x = lab.start("x", settings, [a.addr]);
    await lab.run(3_000);
    expect(isWhole(a, x)).toBe(true);
    settings.aheadMs = -90_000;
    await lab.run(70_000);
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
  it("are replaced one after the other while all nodes keep running", async () => {
    const nodes = [lab.start("a")];
    const [first] = nodes as [SealedNode];
    for (const id of ["b", "c"]) nodes.push(lab.start(id, {}, [first.addr]));
    await lab.run(3_000);
    for (const keys of [[ONE, TWO], [TWO, ONE], [TWO]]) {
      for (const { ring } of nodes) {
        ring.replace(keys);
        await lab.run(2_000);
      }
    }
    await lab.run(5_000);
    expect(isWhole(...nodes)).toBe(true);
    expect(nodes.map(dropped)).toEqual([{}, {}, {}]);
    for (const { logged } of nodes)
      expect(logged.filter(({ message }) => /unreach/.test(message))).toEqual([]);
  });
});
