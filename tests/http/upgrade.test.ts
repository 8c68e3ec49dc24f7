// Upgraded connections: WebSockets with independent libraries, and every byte in order whenever it was sent.

import { SeededRandom } from "@piko/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { within } from "../harness/deadline.js";
import { startAgent, startServer, type Tunnel } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { Service } from "../harness/service.js";
import { perFile, perTest } from "../harness/stage.js";
import { clientFrame, openTunnel, yamuxFrame } from "../harness/wire.js";

const stage = perFile();
const scene = perTest();
let service: Service;
let tunnel: Tunnel;

beforeAll(async () => {
  service = await Service.start(stage);
  const server = await startServer(stage, { "proxy.timeout": "10m" });
  // Longer than a test waits: if a connection ends during a test, it wasn't because of a timeout.
  const agent = await startAgent(stage, server.upstream, "web", service.addr, {
    flags: ["--timeout", "10m"],
  });
  tunnel = { server, agent };
});

const head = (path: string, more = ""): string =>
  `GET ${path} HTTP/1.1\r\nHost: web.test\r\nConnection: Upgrade\r\nUpgrade: test\r\n${more}\r\n`;
const connect = (): Promise<RawClient> => RawClient.connect(scene, tunnel.server.proxy);
const text = (count: number, client: RawClient): Promise<string> => client.take(count).then(String);

describe("an upgrade", () => {
  it("delivers bytes that arrive in the segment of the request's head", async () => {
    const client = await connect();
    client.send(`${head("/up?same")}first words`);
    expect((await client.response()).status).toBe(101);
    const { received } = await service.upgrades.until("/up?same", (up) => up.received.length >= 11);
    expect(received.toString()).toBe("first words");
  });

  it("delivers bytes that arrive before the 101", async () => {
    const client = await connect();
    client.send(head("/up?delay=300&echo"));
    await service.upgrades.until("/up?delay=300");
    client.send("early");
    client.send(" and late");
    expect((await client.response()).status).toBe(101);
    expect(await text(14, client)).toBe("early and late");
  });

  it("delivers bytes right after the 101", async () => {
    const client = await connect();
    client.send(head("/up?greeting=hello-from-the-service"));
    expect((await client.response()).status).toBe(101);
    expect(await text(22, client)).toBe("hello-from-the-service");
  });

  it("keeps all bytes in order, in both directions", async () => {
    const random = new SeededRandom(1);
    const sent = random.bytes(300_000);
    const client = await connect();
    const pieces = random.split(sent, 20_000);
    client.send(Buffer.concat([Buffer.from(head("/up?delay=50&echo&order")), ...pieces.splice(0, 1)]));
    for (const piece of pieces) client.send(piece);
    expect((await client.response()).status).toBe(101);
    expect((await client.take(sent.length)).equals(sent)).toBe(true);
  });

  it("passes on the protocol and the service's fields", async () => {
    const client = await connect();
    client.send(head("/up?fields", "X-Kept: yes\r\n"));
    const response = await client.response();
    expect(response.field("upgrade")).toBe("test");
    expect(response.field("connection")?.toLowerCase()).toBe("upgrade");
    const { headers } = await service.upgrades.until("/up?fields");
    expect(headers).toMatchObject({ upgrade: "test", "x-kept": "yes" });
  });

  it("that the service refuses is an ordinary response", async () => {
    const client = await connect();
    client.send(head("/up?refuse=403"));
    const response = await client.response();
    expect(response.status).toBe(403);
    expect(response.body.toString()).toBe("no");
  });

  it("outlives the timeouts for response heads", async () => {
    const server = await startServer(scene, { "proxy.timeout": "1s" });
    await startAgent(scene, server.upstream, "web", service.addr, { flags: ["--timeout", "1s"] });
    const client = await RawClient.connect(scene, server.proxy);
    client.send(head("/up?echo&long"));
    await client.response();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    client.send("still there");
    expect(await text(11, client)).toBe("still there");
  });

  it("ends on both sides when the client disconnects", async () => {
    const client = await connect();
    client.send(head("/up?bye"));
    await client.response();
    client.socket.destroy();
    await service.upgrades.until("/up?bye", ({ ended }) => ended);
  });

  it("ends at the service if the client disconnects before the 101", async () => {
    const client = await connect();
    client.send(head("/up?hang"));
    await service.upgrades.until("/up?hang");
    client.send("early bytes");
    client.socket.destroy();
    await service.upgrades.until("/up?hang", ({ ended }) => ended);
  });

  it("lets the service answer a client that has ended its direction", async () => {
    const client = await connect();
    client.send(head("/up?farewell=last-words"));
    await client.response();
    client.socket.end();
    expect((await client.rest()).toString()).toBe("last-words");
  });

  it("ends on both sides when the service disconnects, after its last bytes", async () => {
    const client = await connect();
    client.send(head("/up?last"));
    await client.response();
    const { socket } = await service.upgrades.until("/up?last");
    socket.end("last words");
    expect((await client.rest()).toString()).toBe("last words");
  });
});

describe("a WebSocket", () => {
  async function echo(): Promise<string> {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1", maxPayload: 32 * 1024 * 1024 });
    scene.defer(() => {
      for (const client of server.clients) client.terminate();
      server.close();
    });
    server.on("connection", (socket) => {
      socket.on("message", (data, binary) => socket.send(data, { binary }));
    });
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as { port: number };
    await startAgent(scene, tunnel.server.upstream, "ws", `127.0.0.1:${port}`);
    return `ws://${tunnel.server.proxy}/`;
  }

  async function open(url: string): Promise<WebSocket> {
    const options = { headers: { "x-piko-endpoint": "ws" }, maxPayload: 32 * 1024 * 1024 };
    const socket = new WebSocket(url, options);
    scene.defer(() => socket.terminate());
    await within(
      new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject)),
      "open",
    );
    return socket;
  }

  const next = (socket: WebSocket): Promise<Buffer> =>
    within(new Promise((resolve) => socket.once("message", (data) => resolve(data as Buffer))), "message");

  it("echoes messages of 10 MB", async () => {
    const socket = await open(await echo());
    const random = new SeededRandom(3);
    for (let i = 0; i < 3; i++) {
      const message = random.bytes(10_000_000);
      socket.send(message);
      expect((await next(socket)).equals(message)).toBe(true);
    }
  });

  it("echoes many small messages in order on many connections", async () => {
    const url = await echo();
    await Promise.all(
      Array.from({ length: 10 }, async (_, c) => {
        const socket = await open(url);
        const seen: string[] = [];
        const all = new Promise<void>((resolve) => {
          socket.on("message", (data) => {
            seen.push(String(data));
            if (seen.length === 200) resolve();
          });
        });
        const sent = Array.from({ length: 200 }, (_unused, i) => `${c}:${i}`);
        for (const message of sent) socket.send(message);
        await within(all, "200 messages");
        expect(seen).toEqual(sent);
      }),
    );
  });

  it("passes on its close code", async () => {
    const socket = await open(await echo());
    const closed = new Promise<number>((resolve) => socket.once("close", resolve));
    socket.close(4001, "bye");
    expect(await within(closed, "close")).toBe(4001);
  });

  it("accepts its upgrade field in any case", async () => {
    await echo();
    const client = await connect();
    client.send(
      "GET / HTTP/1.1\r\nHost: ws.test\r\nconnection: keep-alive, UPGRADE\r\nUpgrade: WebSocket\r\n" +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
    );
    const response = await client.response();
    expect(response.status).toBe(101);
    expect(response.field("sec-websocket-accept")).toBe("BACScCJPNqyz+UBoqMH89VmURoA=");
  });
});

describe("an agent that wrongly switches protocols", () => {
  it.each([
    ["without naming a protocol", "", ""],
    ["for a plain request", "Connection: Upgrade\r\nUpgrade: test\r\n", ""],
    ["without naming the protocol of an upgrade", "", "Connection: Upgrade\r\nUpgrade: test\r\n"],
    [
      "to another protocol than requested",
      "Connection: Upgrade\r\nUpgrade: evil\r\n",
      "Connection: Upgrade\r\nUpgrade: test\r\n",
    ],
  ])("%s doesn't get a client's connection", async (_, fields, asked) => {
    const agent = await openTunnel(scene, tunnel.server.upstream, "evil");
    const client = await connect();
    client.send(`GET / HTTP/1.1\r\nHost: evil.test\r\n${asked}\r\n`);
    await agent.take(1);
    const answer = Buffer.from(`HTTP/1.1 101 X\r\n${fields}\r\n`);
    agent.send(
      clientFrame(Buffer.concat([yamuxFrame(1, 2, 2, 0), yamuxFrame(0, 0, 2, answer.length), answer])),
    );
    expect((await client.response()).status).toBe(502);
    const secret = "GET /reflect HTTP/1.1\r\nHost: web.test\r\nAuthorization: Bearer secret\r\n\r\n";
    if (asked === "") {
      client.send(secret);
      const { body, status } = await client.response();
      expect(status).toBe(200);
      expect(body.toString()).toContain("Bearer secret");
    } else {
      expect((await client.rest()).length).toBe(0);
    }
    expect(agent.buffer.includes("secret")).toBe(false);
    agent.socket.destroy();
  });
});
