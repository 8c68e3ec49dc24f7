// How connections end (decision 004): an end is passed on after all data that was sent before it, a reset as a reset. For
// every way to connect, on one node and over a hop, from either side, with slow readers on either side, and with no, little
// and much data on the way.

import { beforeAll, describe, expect, it } from "vitest";
import { type ConnectionEnd, untilBlocked } from "../harness/connection-end.js";
import {
  type Ends,
  openByDial,
  openByUpgrade,
  openTcp,
  startDestinations,
} from "../harness/connection-ways.js";
import { untilEndpoints } from "../harness/cluster.js";
import { haveGo, startGoAgent, startGoForward, startGoServer } from "../harness/go-peer.js";
import { startAgent, startForward } from "../harness/piko.js";
import { perFile, perTest } from "../harness/stage.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const SIZES = [0, 1, 300 * KIB, 8 * MIB];

const stage = perFile();
const scene = perTest();

type Open = () => Promise<Ends>;
const ways = new Map<string, Open>();
/** Opens a connection by its name in the tests' titles, which exist before anything is started. */
const open = (name: string): Promise<Ends> => (ways.get(name) as Open)();

const OURS = ["forward", "dial", "upgrade", "forward to the SDK"].flatMap((name) => [
  name,
  `${name} over a hop`,
]);
const GO = haveGo
  ? [
      "forward to a Go agent",
      "forward to a Go agent over a hop",
      "Go forward",
      "Go forward over a hop",
      "forward by a Go server",
    ]
  : [];

beforeAll(async () => {
  const { nodes, tcp, http } = await startDestinations(stage, ["ends-a", "ends-b"]);
  const [a, b] = nodes;
  if (haveGo) await startGoAgent(stage, a.upstream, "go", tcp.addr, ["--mode", "tcp"]);
  await untilEndpoints(b, "ends-a", haveGo ? 4 : 3);
  for (const [node, where] of [
    [a, ""],
    [b, " over a hop"],
  ] as const) {
    const forwarder = async (endpoint: string): Promise<Open> => {
      const { addr } = await startForward(stage, node.proxy, endpoint);
      return () => openTcp(scene, addr, tcp);
    };
    ways.set(`forward${where}`, await forwarder("tcp"));
    ways.set(`forward to the SDK${where}`, await forwarder("sdk"));
    ways.set(`dial${where}`, () => openByDial(scene, node.proxy, "tcp", tcp));
    ways.set(`upgrade${where}`, () => openByUpgrade(scene, node.proxy, "http", http));
    if (!haveGo) continue;
    ways.set(`forward to a Go agent${where}`, await forwarder("go"));
    const go = await startGoForward(stage, node.proxy, "tcp");
    ways.set(`Go forward${where}`, () => openTcp(scene, go, tcp));
  }
  if (!haveGo) return;
  const server = await startGoServer(stage);
  await startAgent(stage, server.upstream, "tcp", tcp.addr, { mode: "tcp" });
  const { addr } = await startForward(stage, server.proxy, "tcp");
  // The forwarder's first request only checks the endpoint, but a Go node connects to the service for it.
  (await tcp.next()).destroy();
  ways.set("forward by a Go server", () => openTcp(scene, addr, tcp));
});

const sides = (ends: Ends, first: string): [ConnectionEnd, ConnectionEnd] =>
  first === "client" ? [ends.client, ends.service] : [ends.service, ends.client];

describe.each([...OURS, ...GO])("by %s", (way) => {
  describe.each(["client", "service"])("the %s's end", (first) => {
    it.each(SIZES)("arrives after %i bytes at a slow reader", async (bytes) => {
      const [from, to] = sides(await open(way), first);
      from.read().send(bytes).end();
      await untilBlocked(from);
      expect(await to.read().over()).toBe("end");
      expect(to.received).toBe(bytes);
      to.end();
      expect(await from.over()).toBe("end");
    });
  });
});

describe.each(OURS)("by %s", (way) => {
  describe.each(["client", "service"])("after the %s's end", (first) => {
    it.each(SIZES)("%i bytes and an end go the other way", async (bytes) => {
      const [from, to] = sides(await open(way), first);
      from.send(3).end();
      expect(await to.read().over()).toBe("end");
      to.send(bytes).end();
      await untilBlocked(to);
      expect(await from.read().over()).toBe("end");
      expect([to.received, from.received]).toEqual([3, bytes]);
    });

    it.each(SIZES)("%i bytes that were already waiting go the other way", async (bytes) => {
      const [from, to] = sides(await open(way), first);
      to.send(bytes);
      await untilBlocked(to);
      from.send(3).end();
      to.end();
      expect(await to.read().over()).toBe("end");
      expect(await from.read().over()).toBe("end");
      expect([to.received, from.received]).toEqual([3, bytes]);
    });

    it("a reset from the other side arrives as a reset", async () => {
      const [from, to] = sides(await open(way), first);
      from.read().end();
      expect(await to.read().over()).toBe("end");
      to.send(1000);
      await from.got(1000);
      to.reset();
      expect(await from.over()).toBe("reset");
    });
  });

  describe.each(["client", "service"])("the %s's reset", (first) => {
    it.each(SIZES)("arrives as a reset after %i bytes", async (bytes) => {
      const [from, to] = sides(await open(way), first);
      to.read().send(1);
      await from.read().got(1);
      from.send(bytes);
      // A single byte may arrive together with the reset.
      if (bytes > 1) await to.got(bytes);
      from.reset();
      expect(await to.over()).toBe("reset");
      expect(to.received).toBe(bytes);
    });

    it("arrives while 8 MiB wait for a slow reader", async () => {
      const [from, to] = sides(await open(way), first);
      from.read().send(8 * MIB);
      await untilBlocked(from);
      from.reset();
      expect(await to.read().over()).toBe("reset");
    });

    it("arrives while 8 MiB wait for its sender", async () => {
      const [from, to] = sides(await open(way), first);
      to.send(8 * MIB);
      await untilBlocked(to);
      from.reset();
      expect(await to.read().over()).toBe("reset");
    });
  });
});
