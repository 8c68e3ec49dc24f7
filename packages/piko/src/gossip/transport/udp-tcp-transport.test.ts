import { type Socket, connect, createServer } from "node:net";
import { View } from "@piko/testkit";
import { systemClock } from "@piko/tunnel";
import { afterEach, describe, expect, it, vi } from "vitest";
import { formatHostPort } from "../../base/address.js";
import { Gossip } from "../gossip.js";
import type { JoinResult } from "../protocol/seeds.js";
import type { TransportReceiver } from "../protocol/transport.js";
import { joinAnswerEnd, requestEnd } from "../wire/message-end.js";
import { UdpTcpTransport } from "./udp-tcp-transport.js";

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()));
});

async function listen(host = "127.0.0.1", port = 0): Promise<UdpTcpTransport> {
  const transport = await UdpTcpTransport.listen({ host, port });
  open.push(transport);
  return transport;
}

interface Node {
  readonly gossip: Gossip;
  readonly view: View;
  readonly joined: JoinResult | undefined;
}

async function startNode(
  id: string,
  seeds: string[] = [],
  host = "127.0.0.1",
  advertise = "",
): Promise<Node> {
  const transport = await listen(host);
  const view = new View(id);
  const addr = formatHostPort({ host: advertise === "" ? host : advertise, port: transport.address.port });
  const gossip = new Gossip({
    nodeId: id,
    addr,
    transport,
    watch: view,
    clock: systemClock,
    random: Math.random,
    intervalMs: 20,
  });
  open.unshift(gossip);
  gossip.start();
  return { gossip, view, joined: seeds.length > 0 ? await gossip.join(seeds) : undefined };
}

async function until(condition: () => boolean): Promise<void> {
  await vi.waitFor(() => expect(condition()).toBe(true), { timeout: 10_000, interval: 5 });
}

describe("gossip over sockets", () => {
  it("forms a cluster, shares keys, and detects nodes that leave or die", async () => {
    const a = await startNode("a");
    const b = await startNode("b", [a.gossip.addr]);
    const c = await startNode("c", [a.gossip.addr]);
    expect(b.joined).toMatchObject({ outcome: "joined", nodeIds: ["a"], failures: [] });
    c.gossip.upsertLocal("endpoint:x", "1");
    await until(() => a.view.nodes.get("c")?.keys.get("endpoint:x") === "1");
    await until(() => b.view.nodes.get("c")?.keys.get("endpoint:x") === "1");
    c.gossip.deleteLocal("endpoint:x");
    await until(() => b.view.nodes.get("c")?.keys.size === 0);
    // All that b knows of c may have come through a so far: c itself needs an answer of b before b becomes a member for it.
    await until(() => c.view.routable().length === 2);
    expect(await c.gossip.leave()).toBe(2);
    await until(() => a.view.nodes.get("c")?.left === true && b.view.nodes.get("c")?.left === true);
    await c.gossip.close();
    await b.gossip.close();
    await until(() => a.view.nodes.get("b")?.unreachable === true);
    expect(a.gossip.counters.packetBytesInbound).toBeGreaterThan(1_000);
    expect(a.gossip.counters.connectionsInbound).toBeGreaterThanOrEqual(2);
  });

  it.each([
    ["::1", "::1", ""],
    ["::", "127.0.0.1", "127.0.0.1"],
    ["::", "::1", "::1"],
    ["", "127.0.0.1", "localhost"],
  ])("works on %j dialled as %s, advertised as %j", async (host, dialled, advertise) => {
    const a = await startNode("a", [], host, advertise);
    const port = Number(/\d+$/.exec(a.gossip.addr)?.[0]);
    const b = await startNode("b", [formatHostPort({ host: dialled, port })], host, advertise);
    expect(b.joined?.outcome).toBe("joined");
    a.gossip.upsertLocal("k", "1");
    await until(() => b.view.nodes.get("a")?.keys.get("k") === "1");
    await until(() => a.view.routable().includes("b"));
  });

  it("carries a state of many packets in one exchange", async () => {
    const a = await startNode("a");
    for (let i = 0; i < 20_000; i++) a.gossip.upsertLocal(`endpoint:${i}`, "1");
    const b = await startNode("b", [a.gossip.addr]);
    await until(() => b.view.nodes.get("a")?.keys.size === 20_000);
    expect(b.gossip.counters.connectionsOutbound).toBeLessThanOrEqual(2);
  });

  it("reports a port in use with its address, and leaves nothing open", async () => {
    const { port } = (await listen()).address;
    await expect(UdpTcpTransport.listen({ host: "127.0.0.1", port })).rejects.toMatchObject({
      code: "PIKO_GOSSIP_LISTEN",
      message: expect.stringMatching(
        `^gossip listen: 127.0.0.1:${port}: address already in use: by another piko\\? --cluster.gossip.bind-addr `,
      ) as string,
    });
  });
});

/** How an exchange ends. */
async function exchange(transport: UdpTcpTransport, address: string, ms: number): Promise<string> {
  return new Promise((resolve) => {
    transport.exchange(address, Buffer.from([3, 0]), joinAnswerEnd(), ms, (error, response) => {
      resolve(error === undefined ? response.toString("hex") : (error as Error & { code: string }).code);
    });
  });
}

describe("an exchange", () => {
  async function serve(answer: (socket: Socket) => void): Promise<string> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      answer(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const close = async (): Promise<void> => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    };
    open.push({ close });
    return `127.0.0.1:${(server.address() as { port: number }).port}`;
  }

  it("distinguishes an address without a node from one about which nothing is known", async () => {
    const transport = await listen();
    const gone = await listen();
    await gone.close();
    expect(await exchange(transport, `127.0.0.1:${gone.address.port}`, 5_000)).toBe(
      "PIKO_GOSSIP_UNREACHABLE",
    );
    const closes = await serve((socket) => socket.destroy());
    expect(await exchange(transport, closes, 5_000)).toBe("PIKO_GOSSIP_EXCHANGE");
    const hangs = await serve((socket) => socket.once("close", () => {}));
    expect(await exchange(transport, hangs, 50)).toBe("PIKO_GOSSIP_TIMEOUT");
    const garbage = await serve((socket) => socket.write(Buffer.from([0xc1])));
    expect(await exchange(transport, garbage, 5_000)).toBe("PIKO_GOSSIP_EXCHANGE");
    expect(await exchange(transport, "nowhere", 5_000)).toBe("PIKO_GOSSIP_BAD_ADDRESS");
  });

  it("reads an answer in pieces and ends at its last byte", async () => {
    const transport = await listen();
    const address = await serve((socket) => {
      socket.write(Buffer.from([0x81, 0xa1]));
      setImmediate(() => socket.write(Buffer.from([0x61, 0x01, 0xc0, 0xff])));
    });
    expect(await exchange(transport, address, 5_000)).toBe("81a16101c0");
  });
});

/** A receiver that answers each request in one piece. */
function answering(respond: (request: Buffer) => Buffer): TransportReceiver {
  return {
    onPacket: () => {},
    onConnectionRefused: () => {},
    requestEnd,
    onRequest: (request, _ip, answer) => answer([respond(request)].values()),
  };
}

describe("the gossip port", () => {
  /** Sends bytes; returns everything that arrives until the other side closes. */
  async function talk(port: number, bytes: Buffer, half = false): Promise<string> {
    return new Promise((resolve) => {
      const chunks: Buffer[] = [];
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true }, () => {
        if (half) socket.end(bytes);
        else socket.write(bytes);
      });
      socket.on("data", (chunk: Buffer) => chunks.push(chunk));
      socket.on("error", () => {});
      socket.on("end", () => socket.destroy());
      socket.on("close", () => resolve(Buffer.concat(chunks).toString("hex")));
    });
  }

  it("answers requests, also of clients that half-close after them", async () => {
    const transport = await listen();
    transport.attach(answering((request) => Buffer.from(request).reverse()));
    expect(await talk(transport.address.port, Buffer.from("0400c0c0", "hex"), true)).toBe("c0c00004");
    expect(await talk(transport.address.port, Buffer.from("0400c0c0", "hex"))).toBe("c0c00004");
  });

  it.each(["ff00", "0400c1", "0300c0c1"])("closes on %s", async (hex) => {
    const transport = await listen();
    transport.attach(answering(() => Buffer.from([1])));
    expect(await talk(transport.address.port, Buffer.from(hex, "hex"))).toBe("");
  });

  it("closes when the request ends early", async () => {
    const transport = await listen();
    transport.attach(answering(() => Buffer.from([1])));
    expect(await talk(transport.address.port, Buffer.from("0400", "hex"), true)).toBe("");
  });

  it("limits connections, and serves again when some have closed", async () => {
    const transport = await listen();
    transport.attach(answering(() => Buffer.from([1])));
    const idle = await Promise.all(
      Array.from(
        { length: 64 },
        () =>
          new Promise<Socket>((resolve) => {
            const socket = connect(transport.address.port, "127.0.0.1", () => resolve(socket));
            socket.on("error", () => {});
          }),
      ),
    );
    const request = Buffer.from("0400c0c0", "hex");
    await vi.waitFor(async () => expect(await talk(transport.address.port, request)).toBe(""));
    for (const socket of idle) socket.destroy();
    await vi.waitFor(async () => expect(await talk(transport.address.port, request)).toBe("01"));
  });

  it("knows from which address a packet comes, also by name", async () => {
    const a = await listen();
    const b = await listen();
    const packets: string[] = [];
    b.attach({
      onPacket: (packet, ip) => void packets.push(`${packet.toString()} ${ip}`),
      onConnectionRefused: () => {},
      requestEnd,
      onRequest: (_request, _ip, answer) => answer(undefined),
    });
    await until(() => {
      a.sendPacket(`localhost:${b.address.port}`, Buffer.from("hello"));
      return packets.length > 0;
    });
    expect(packets[0]).toBe("hello 127.0.0.1");
    expect(a.comesFrom(`127.0.0.1:1`, "127.0.0.1")).toBe(true);
    expect(a.comesFrom(`127.0.0.1:1`, "127.0.0.2")).toBe(false);
    expect(a.comesFrom(`localhost:1`, "127.0.0.1")).toBe(true);
    expect(a.comesFrom("[0:0::1]:1", "::1")).toBe(true);
    expect(a.comesFrom("nonsense", "::1")).toBe(false);
  });
});
