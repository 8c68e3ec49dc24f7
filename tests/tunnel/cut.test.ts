// Connections that are cut in the middle (decision 004): a process between their ends is killed or stopped, and each end
// whose neighboring process survives sees a reset. And clients that leave while no one reads their data; held-back.test.ts
// has more of these.

import { writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { beforeAll, describe, expect, it } from "vitest";
import { ConnectionEnd, untilBlocked } from "../harness/connection-end.js";
import {
  type Ends,
  openByDial,
  openByUpgrade,
  openTcp,
  ScriptedService,
} from "../harness/connection-ways.js";
import { startCluster, untilEndpoints } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { type RunningServer, startAgent, startAgentOfFile, startForward } from "../harness/piko.js";
import type { Program } from "../harness/program.js";
import { RawClient } from "../harness/raw-client.js";
import { startRawService } from "../harness/raw-service.js";
import { perFile, perTest, type Stage } from "../harness/stage.js";

const MIB = 1024 * 1024;

const scene = perTest();

const WAYS = ["forward", "dial", "upgrade"] as const;
const PLACES = ["here", "over a hop"] as const;
type Way = (typeof WAYS)[number];
type Place = (typeof PLACES)[number];
type Victim = "forwarder" | "agent" | "node" | "other node";

/** The programs between the two ends of a connection. */
interface Programs {
  /** The node that the agent is connected to, and the one that clients connect to. */
  readonly owner: RunningServer;
  readonly entry: RunningServer;
  /** The programs that can be killed. */
  readonly victims: ReadonlyMap<Victim, Program>;
  /** Opens a connection that is closed with the test. */
  open(way: Way): Promise<Ends>;
}

async function startPrograms(stage: Stage, place: Place): Promise<Programs> {
  const hop = place === "over a hop";
  const tcp = await ScriptedService.start(stage, false);
  const http = await ScriptedService.start(stage, true);
  const ids: readonly string[] = hop ? ["cut-a", "cut-b"] : ["cut-a"];
  // A short grace period, for connections that are cut at its end.
  const nodes = await startCluster(stage, ids, { "grace-period": "1s" });
  const owner = nodes[0] as RunningServer;
  const entry = nodes.at(-1) as RunningServer;
  const file = `${await stage.directory()}/agent.yaml`;
  const listeners = [
    `{endpoint_id: tcp, addr: "${tcp.addr}", protocol: tcp}`,
    `{endpoint_id: http, addr: "${http.addr}"}`,
  ];
  await writeFile(file, `grace_period: 1s\nlisteners: [${listeners.join(", ")}]\n`);
  const agent = startAgentOfFile(stage, owner.upstream, file);
  await eventually(
    () => agent.lines.filter(({ fields }) => fields["msg"] === "connected").length === listeners.length,
    "tunnels",
  );
  if (hop) await untilEndpoints(entry, "cut-a", listeners.length);
  const forwarder = await startForward(stage, entry.proxy, "tcp");
  const victims = new Map<Victim, Program>([
    ["forwarder", forwarder.program],
    ["agent", agent],
    ["node", entry.program],
  ]);
  if (hop) victims.set("other node", owner.program);
  const ways: Readonly<Record<Way, () => Promise<Ends>>> = {
    forward: () => openTcp(scene, forwarder.addr, tcp),
    dial: () => openByDial(scene, entry.proxy, "tcp", tcp),
    upgrade: () => openByUpgrade(scene, entry.proxy, "http", http),
  };
  return { owner, entry, victims, open: (way) => ways[way]() };
}

const CASES = PLACES.flatMap((place) => {
  const victims: readonly Victim[] = ["forwarder", "agent", "node"];
  return (place === "here" ? victims : [...victims, "other node" as const]).flatMap((victim) =>
    (["SIGKILL", "SIGTERM"] as const).map((signal) => [place, victim, signal] as const),
  );
});

/**
 * The ends that are connected to the victim directly. For a killed process, the operating system closes these connections
 * with a plain FIN, which can't be told from the peer's own.
 */
function directEnds(victim: Victim, way: Way, hop: boolean): readonly ("client" | "service")[] {
  if (victim === "forwarder") return ["client"];
  if (victim === "agent") return ["service"];
  if (way !== "upgrade") return [];
  // After an upgrade, a hop is a bare connection too.
  return victim === "node" && hop ? ["client", "service"] : ["client"];
}

describe("downloads that are cut in the middle", () => {
  it.each(CASES)("%s, when the %s gets a %s, are reset at both ends", async (place, victim, signal) => {
    const { open, victims } = await startPrograms(scene, place);
    const opened: (readonly [Way, Ends])[] = [];
    for (const way of victim === "forwarder" ? (["forward"] as const) : WAYS) {
      const ends = await open(way);
      ends.service.read().send(1000);
      await ends.client.read().got(1000);
      opened.push([way, ends]);
    }
    const program = victims.get(victim) as Program;
    program.signal(signal);
    for (const [way, { client, service }] of opened) {
      const direct = signal === "SIGKILL" ? directEnds(victim, way, place === "over a hop") : [];
      for (const [name, end] of [
        ["client", client],
        ["service", service],
      ] as const) {
        const outcome = await end.over();
        if (!direct.includes(name)) expect([way, name, outcome]).toEqual([way, name, "reset"]);
      }
      expect([way, client.received, service.received]).toEqual([way, 1000, 0]);
    }
    if (signal === "SIGTERM") await program.stopped();
    else await program.exited;
  });
});

describe.each(PLACES)("while an upload is held back, %s,", (place) => {
  const stage = perFile();
  let programs: Programs;

  beforeAll(async () => {
    programs = await startPrograms(stage, place);
  });

  it(`by ${WAYS.join(", ")}, a client's reset reaches the service as a reset within 30 s`, async () => {
    const opened: (readonly [Way, Ends])[] = [];
    for (const way of WAYS) {
      const ends = await programs.open(way);
      ends.client.read().send(64 * MIB);
      ends.service.send(1);
      await ends.client.got(1);
      await untilBlocked(ends.client);
      opened.push([way, ends]);
    }
    for (const [, { client }] of opened) client.reset();
    for (const [way, { service }] of opened) {
      // The service still reads nothing: only a reset can reach it.
      await service.resetUnread(30_000, way);
      expect([way, service.received]).toEqual([way, 0]);
    }
  });

  it("a client's reset ends a plain request whose service answers and reads nothing", async () => {
    const service = await startRawService(scene, (socket) => {
      socket.pause();
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun");
    });
    const { owner, entry } = programs;
    await startAgent(scene, owner.upstream, "held", service.addr);
    if (place === "over a hop") await untilEndpoints(entry, "cut-a", 3);
    const client = await RawClient.connect(scene, entry.proxy);
    client.send("POST / HTTP/1.1\r\nHost: held.test\r\nContent-Length: 100000000\r\n\r\n");
    client.send(Buffer.alloc(64 * MIB));
    await client.take(40);
    client.socket.resetAndDestroy();
    const [socket] = service.sockets;
    await new ConnectionEnd(socket as Socket, 1, 2).resetUnread(30_000, "plain request");
  });
});
