// Connections that are cut on their way (decision 004): a process between their ends is killed or told to stop, and each
// end whose own process lives on sees a reset. And ends that are gone while nobody reads from them.

import type { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { ConnectionEnd, untilStuck } from "../harness/connection-end.js";
import { type Ends, openByDial, openByUpgrade, openTcp, PlayedService } from "../harness/connection-ways.js";
import { startCluster, untilEndpoints } from "../harness/cluster.js";
import { type RunningServer, startAgent, startForward } from "../harness/piko.js";
import type { Program } from "../harness/program.js";
import { RawClient } from "../harness/raw-client.js";
import { startRawService } from "../harness/raw-service.js";
import { perTest } from "../harness/stage.js";

const MIB = 1024 * 1024;

const scene = perTest();

type Way = "forward" | "dial" | "upgrade";
type Victim = "forwarder" | "agent" | "node" | "other node";

interface Connection extends Ends {
  /** What can be killed between the ends. */
  readonly victims: ReadonlyMap<Victim, Program>;
}

/** A connection by one of the ways, through programs of its own. */
async function openConnection(way: Way, hop: boolean): Promise<Connection> {
  const service = await PlayedService.start(scene, way === "upgrade");
  // The grace period is for what ends by itself.
  const flags = { "grace-period": "1s" };
  const ids: readonly string[] = hop ? ["cut-a", "cut-b"] : ["cut-a"];
  const nodes = await startCluster(scene, ids, flags);
  const owner = nodes[0] as RunningServer;
  const entry = nodes.at(-1) as RunningServer;
  const mode = way === "upgrade" ? "http" : "tcp";
  const agent = await startAgent(scene, owner.upstream, "cut", service.addr, {
    mode,
    flags: ["--grace-period", "1s"],
  });
  if (hop) await untilEndpoints(entry, "cut-a", 1);
  const victims = new Map<Victim, Program>([
    ["agent", agent],
    ["node", entry.program],
  ]);
  if (hop) victims.set("other node", owner.program);
  if (way === "dial") return { ...(await openByDial(scene, entry.proxy, "cut", service)), victims };
  if (way === "upgrade") return { ...(await openByUpgrade(scene, entry.proxy, "cut", service)), victims };
  const forwarder = await startForward(scene, entry.proxy, "cut");
  victims.set("forwarder", forwarder.program);
  return { ...(await openTcp(scene, forwarder.addr, service)), victims };
}

const WAYS: readonly (readonly [Way, boolean, readonly Victim[]])[] = [
  ["forward", false, ["forwarder", "agent", "node"]],
  ["forward", true, ["forwarder", "agent", "node", "other node"]],
  ["dial", false, ["agent", "node"]],
  ["upgrade", false, ["agent", "node"]],
  ["upgrade", true, ["agent", "node", "other node"]],
];

const CASES = WAYS.flatMap(([way, hop, victims]) =>
  victims.flatMap((victim) =>
    (["SIGKILL", "SIGTERM"] as const).map(
      (signal) => [way, hop ? "over a hop" : "here", victim, signal] as const,
    ),
  ),
);

/**
 * Whose socket belongs to the victim: what a killed process's system says on it is a bare end of TCP, and nobody can tell it
 * from the peer's.
 */
function speaksFor(victim: Victim, way: Way, hop: boolean): readonly ("client" | "service")[] {
  if (victim === "forwarder") return ["client"];
  if (victim === "agent") return ["service"];
  if (way !== "upgrade") return [];
  // Behind an upgrade a hop is a bare connection, too.
  return victim === "node" && hop ? ["client", "service"] : ["client"];
}

describe("a download that is cut in the middle", () => {
  it.each(CASES)("by %s, %s, by the %s's %s, is reset at both ends", async (way, where, victim, signal) => {
    const hop = where === "over a hop";
    const { client, service, victims } = await openConnection(way, hop);
    service.read().send(1000);
    await client.read().got(1000);
    const program = victims.get(victim) as Program;
    program.signal(signal);
    const spokenFor = signal === "SIGKILL" ? speaksFor(victim, way, hop) : [];
    for (const [name, end] of [
      ["client", client],
      ["service", service],
    ] as const) {
      const outcome = await end.over();
      if (!spokenFor.includes(name)) expect([name, outcome]).toEqual([name, "reset"]);
    }
    expect([client.received, service.received]).toEqual([1000, 0]);
    if (signal === "SIGTERM") await program.stopped();
    else await program.exited;
  });
});

describe("a client's reset while its upload is held back", () => {
  it.each([
    ["forward", false],
    ["forward", true],
    ["dial", false],
    ["upgrade", false],
    ["upgrade", true],
  ] as const)(
    "by %s (over a hop: %s) reaches the service as a reset within 30 s",
    async (way, hop) => {
      const { client, service } = await openConnection(way, hop);
      client.read().send(64 * MIB);
      service.send(1);
      await client.got(1);
      await untilStuck(client);
      client.reset();
      // The service goes on reading nothing: only a reset can tell it.
      await service.resetUnread(30_000);
      expect(service.received).toBe(0);
    },
    60_000,
  );

  it.each([false, true])(
    "ends a plain request whose service answers and reads nothing (over a hop: %s)",
    async (hop) => {
      const service = await startRawService(scene, (socket) => {
        socket.pause();
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun");
      });
      const ids: readonly string[] = hop ? ["held-a", "held-b"] : ["held-a"];
      const nodes = await startCluster(scene, ids);
      const entry = nodes.at(-1) as RunningServer;
      await startAgent(scene, (nodes[0] as RunningServer).upstream, "held", service.addr);
      if (hop) await untilEndpoints(entry, "held-a", 1);
      const client = await RawClient.connect(scene, entry.proxy);
      client.send("POST / HTTP/1.1\r\nHost: held.test\r\nContent-Length: 100000000\r\n\r\n");
      client.send(Buffer.alloc(64 * MIB));
      await client.take(40);
      client.socket.resetAndDestroy();
      const [socket] = service.sockets;
      await new ConnectionEnd(socket as Socket, 1, 2).resetUnread(30_000);
    },
    60_000,
  );
});
