// Data that is held back because no one reads it, and what follows it (decision 004): a reset gets through, wherever the
// data waits and whenever the reset comes; an end waits for its turn.

import { beforeAll, describe, expect, it } from "vitest";
import { type ConnectionEnd, untilBlocked } from "../harness/connection-end.js";
import {
  type Ends,
  listenBySdk,
  openByDial,
  openByUpgrade,
  openTcp,
  ScriptedService,
  startDestinations,
} from "../harness/connection-ways.js";
import { startCluster, untilEndpoints } from "../harness/cluster.js";
import { MutualTls } from "../harness/mutual-tls.js";
import { startForward } from "../harness/piko.js";
import { perFile, perTest } from "../harness/stage.js";
import { tcpTable } from "../harness/tcp-table.js";

const KIB = 1024;
const MIB = 1024 * KIB;
/**
 * From what the client's kernel buffers to more than the whole way buffers. In between, all remaining data waits in kernels
 * along the way, and no program has anything to send.
 */
const SIZES = [512 * KIB, MIB, 3 * MIB, 6 * MIB, 8 * MIB, 11 * MIB];
const WITHIN_MS = 30_000;

const stage = perFile();
const scene = perTest();

describe("without a reader at the other end,", () => {
  const ways = new Map<string, () => Promise<Ends>>();
  const addrs: Record<string, string> = {};
  const known = (): string => tcpTable(addrs);

  beforeAll(async () => {
    const { nodes, tcp, http } = await startDestinations(stage, ["held-a", "held-b"]);
    const [a, b] = nodes;
    await untilEndpoints(b, "held-a", 3);
    Object.assign(addrs, {
      service: tcp.addr,
      "http service": http.addr,
      "node a": a.proxy,
      "node b": b.proxy,
    });
    for (const [node, where] of [
      [a, ""],
      [b, " over a hop"],
    ] as const) {
      const forwarder = await startForward(stage, node.proxy, "tcp");
      addrs[`forwarder${where}`] = forwarder.addr;
      ways.set(`forward${where}`, () => openTcp(scene, forwarder.addr, tcp));
      ways.set(`dial of the SDK${where}`, () => openByDial(scene, node.proxy, "sdk", tcp));
      ways.set(`upgrade${where}`, () => openByUpgrade(scene, node.proxy, "http", http));
    }
  });

  /** Runs a case for each way and size, all at once; the connections are opened one after the other. */
  async function forAll(run: (name: string, ends: Ends, bytes: number) => Promise<void>): Promise<void> {
    const runs: Promise<void>[] = [];
    for (const bytes of SIZES) {
      for (const [way, open] of ways) runs.push(run(`${way}, ${bytes} bytes`, await open(), bytes));
    }
    await Promise.all(runs);
  }

  it("a service's reset reaches the client after any number of bytes, and an end doesn't lose any", async () => {
    const ended: (readonly [string, Ends, number])[] = [];
    await forAll(async (name, ends, bytes) => {
      // Both ends have sent everything; the client reads it later.
      ended.push([name, ends, bytes]);
      ends.client.end();
      await ends.service.read().over();
      ends.service.send(bytes).end();
    });
    await forAll(async (name, { client, service }, bytes) => {
      service.read().send(bytes);
      client.send(1);
      await service.got(1);
      await untilBlocked(service);
      service.reset();
      await client.resetUnread(WITHIN_MS, `of a service by ${name}`, known);
    });
    for (const [name, { client }, bytes] of ended) {
      expect([name, await client.read().over(), client.received]).toEqual([name, "end", bytes]);
    }
  });

  it("a client's reset reaches the service at any moment of an upload", async () => {
    await forAll(async (name, { client, service }, bytes) => {
      client.read().send(2 * bytes);
      service.send(1);
      await client.got(1);
      client.reset();
      await service.resetUnread(WITHIN_MS, `of a client by ${name}`, known);
    });
  });

  it("a client's reset after its own end reaches a service that sends nothing", async () => {
    await forAll(async (name, { client, service }) => {
      client.end();
      await service.read().over();
      client.reset();
      await service.resetUnread(WITHIN_MS, `of a client that had ended by ${name}`, known);
    });
  });
});

it.each([
  ["plain TCP", false],
  ["TLS", true],
] as const)(
  "while bytes are held back between a forwarder and the SDK's forward, each end's reset reaches the other over %s",
  async (_name, secure) => {
    const service = await ScriptedService.start(scene, false);
    const { server, ca } = new MutualTls(scene);
    const flags = secure ? { "proxy.tls.cert": server.cert, "proxy.tls.key": server.key } : undefined;
    const [node] = await startCluster(scene, ["held-c"], flags);
    await listenBySdk(scene, node.upstream, "sdk", service.addr);
    const forwarder = await (secure
      ? startForward(scene, `https://${node.proxy}`, "sdk", ["--connect.tls.root-cas", ca.cert])
      : startForward(scene, node.proxy, "sdk"));
    const { addr, program } = forwarder;
    const open = (): Promise<Ends> => openTcp(scene, addr, service);
    const known = (): string =>
      tcpTable({ service: service.addr, forwarder: addr, node: node.proxy, tunnel: node.upstream });
    const begin = async (by: ConnectionEnd, other: ConnectionEnd): Promise<void> => {
      by.read();
      other.send(1);
      await by.got(1);
    };
    const held = async (who: string, by: ConnectionEnd, other: ConnectionEnd): Promise<void> => {
      by.send(64 * MIB);
      await untilBlocked(by);
      by.reset();
      // The other side still reads nothing.
      await other.resetUnread(WITHIN_MS, who, known);
      expect(other.received).toBe(0);
    };
    const [upload, download, early] = [await open(), await open(), await open()];
    await begin(upload.client, upload.service);
    await begin(download.service, download.client);
    await begin(early.service, early.client);
    // The forwarder gets no CPU time: the service sees its data stall and resets, although there is still room along the way.
    program.signal("SIGSTOP");
    early.service.send(64 * MIB);
    await untilBlocked(early.service);
    early.service.reset();
    program.signal("SIGCONT");
    await Promise.all([
      held("of the client", upload.client, upload.service),
      held("of the service", download.service, download.client),
      early.client.resetUnread(WITHIN_MS, "of the service, early", known),
    ]);
  },
);
