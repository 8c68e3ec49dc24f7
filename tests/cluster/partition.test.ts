// Networks that split and heal, that lose all packets in one direction, or a third of all packets: with nodes on hosts of
// their own. `npm run test:long` takes minutes for what takes seconds here.

import { setTimeout as delay } from "node:timers/promises";
import { beforeEach, describe, expect, it } from "vitest";
import { activeNodes } from "../harness/cluster.js";
import { eventually, PATIENCE_MS } from "../harness/deadline.js";
import { ask } from "../harness/load.js";
import { LONG } from "../harness/long-run.js";
import { haveNetworkLab, type LabHost, NetworkLab, partition } from "../harness/network-lab.js";
import { type RunningServer, startAgent, startServerOn } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();
const available = await haveNetworkLab();
/** After a minute, the others have forgotten a dead node: to heal, the nodes must learn about each other anew. */
const SPLIT_MS = LONG ? 60_000 : 4_000;
const LOSS_MS = LONG ? 300_000 : 10_000;
const START_MS = 60_000;
/** A dead node is declared unreachable after 3 s; on a busy machine that takes longer. */
const UNREACHABLE_MS = 30_000;
const HEALED_MS = LONG ? 10_000 : PATIENCE_MS;

interface Place {
  readonly id: string;
  readonly host: LabHost;
  readonly server: RunningServer;
}

let service: Service;

/** Nodes that know each other, each with one endpoint named like the node. */
async function startPlaces(count: number): Promise<Place[]> {
  const lab = await NetworkLab.create(scene);
  const hosts: LabHost[] = [];
  for (let i = 0; i < count; i++) hosts.push(await lab.host());
  const join = hosts.map(({ ipv4 }) => ipv4).join(",");
  const places = await Promise.all(
    hosts.map(async (host, i) => {
      const id = String.fromCodePoint(97 + i);
      const server = await startServerOn(scene, host, { "cluster.node-id": id, "cluster.join": join });
      return { id, host, server };
    }),
  );
  for (const { id, server } of places) await startAgent(scene, server.upstream, id, service.addr);
  await untilAllReach(places, START_MS);
  return places;
}

async function untilKnown(places: readonly Place[], ms: number): Promise<void> {
  const all = places.map(({ id }) => id).join(" ");
  for (const { id, server } of places)
    await eventually(async () => (await activeNodes(server)) === all, `${all} at ${id}`, ms);
}

/** Waits until all nodes know each other and no others, and each node forwards requests to every node's endpoint. */
async function untilAllReach(places: readonly Place[], ms: number): Promise<void> {
  await untilKnown(places, ms);
  for (const { id, server } of places) {
    for (const { id: endpoint } of places) {
      await eventually(
        async () => (await ask(server, endpoint, "/item?i=1")).status === 200,
        `${endpoint} at ${id}`,
        ms,
      );
    }
  }
}

async function heal(places: readonly Place[]): Promise<number> {
  await Promise.all(places.map(({ host }) => host.heal()));
  return performance.now();
}

function count(place: Place, message: string): number {
  return place.server.program.lines.filter(({ fields }) => fields["msg"] === message).length;
}

describe.skipIf(!available)("a cluster whose network", { timeout: 600_000 }, () => {
  beforeEach(async () => {
    service = await Service.start(scene);
  });

  it.each(
    LONG
      ? [
          [2, 3],
          [1, 1],
        ]
      : [[2, 3]],
  )("splits into %i and %i nodes is one cluster again after the network heals", async (few, many) => {
    const places = await startPlaces(few + many);
    const [left, right] = [places.slice(0, few), places.slice(few)];
    await partition(
      left.map(({ host }) => host),
      right.map(({ host }) => host),
    );
    await Promise.all([untilAllReach(left, UNREACHABLE_MS), untilAllReach(right, UNREACHABLE_MS)]);
    await delay(SPLIT_MS);
    await Promise.all([untilKnown(left, 0), untilKnown(right, 0)]);
    const healedMs = await heal(places);
    await untilAllReach(places, HEALED_MS);
    const tookMs = performance.now() - healedMs;
    if (LONG) {
      process.stderr.write(`${few} + ${many} nodes: whole ${Math.round(tookMs)} ms after the heal\n`);
      expect(tookMs).toBeLessThan(HEALED_MS);
    }
  });

  it("fails in one direction loses no third node, and is one cluster again afterwards", async () => {
    const places = await startPlaces(3);
    const [a, b, c] = places;
    if (a === undefined || b === undefined || c === undefined) throw new Error("no places");
    await a.host.dropPacketsFrom([b.host]);
    // Neither gets answers from the other: a doesn't receive b's packets, so b gets none from a either.
    await eventually(async () => (await activeNodes(a.server)) === "a c", "a without b", UNREACHABLE_MS);
    await eventually(async () => (await activeNodes(b.server)) === "b c", "b without a", UNREACHABLE_MS);
    await delay(SPLIT_MS);
    const seen = await Promise.all(places.map(({ server }) => activeNodes(server)));
    expect(seen).toEqual(["a c", "b c", "a b c"]);
    for (const endpoint of ["a", "b", "c"])
      expect((await ask(c.server, endpoint, "/item?i=1")).status).toBe(200);
    await heal(places);
    await untilAllReach(places, HEALED_MS);
    expect(count(c, "node unreachable")).toBe(0);
  });

  // By the firewall: the kernel's traffic control may lack packet loss.
  it("loses three of ten packets declares no live node unreachable", async () => {
    const places = await startPlaces(5);
    for (const { host } of places) await host.lose(0.3);
    await delay(LOSS_MS);
    expect(places.map((place) => count(place, "node unreachable"))).toEqual([0, 0, 0, 0, 0]);
    await heal(places);
    await untilAllReach(places, HEALED_MS);
  });
});
