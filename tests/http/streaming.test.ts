// Long bodies and long waits through the tunnel: complete, in order, without delay, and without being kept in memory.

import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { pipeline } from "node:stream/promises";
import { PatternChecker, PatternSource } from "@piko/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import { curl } from "../harness/curl.js";
import { eventually } from "../harness/deadline.js";
import { LONG } from "../harness/long-run.js";
import { MemoryWatch } from "../harness/memory.js";
import { startAgent, startServer, startTunnel, type Tunnel } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { startCannedService, startRawService } from "../harness/raw-service.js";
import { Service } from "../harness/service.js";
import { perFile, perTest } from "../harness/stage.js";
import { haveTools, run } from "../harness/tools.js";

const GIB = 1024 ** 3;
/** Several times the memory that the programs may use. */
const BULK = LONG ? GIB : GIB / 2;
const MAX_RSS_MB = 150;
/** For work that takes ten seconds on an idle machine, and needs only CPU time. */
const COMPUTING_MS = 500_000;

const stage = perFile();
const scene = perTest();
let service: Service;
let tunnel: Tunnel;
/** Begins with the file, and continues while its tests run. */
let minute: Promise<string>;

beforeAll(async () => {
  service = await Service.start(stage);
  tunnel = await startTunnel(stage, service.addr);
  minute = readMinute();
  // The test that awaits it reports a failure.
  minute.catch(() => {});
});

/** Receives an event every 15 s, for a minute. */
async function readMinute(): Promise<string> {
  let text = "";
  for await (const piece of await ask("/events?count=4&ms=15000")) text += String(piece);
  return text;
}

interface Sum {
  bytes: number;
  mismatchAt: number;
  sha256: string;
}

describe.runIf(haveTools("curl", "sha256sum"))(
  `${BULK / 1024 ** 2} MiB`,
  { timeout: 2 * COMPUTING_MS },
  () => {
    it("is uploaded completely, in constant memory", async () => {
      const file = join(await scene.directory(), "body");
      await pipeline(Readable.from(new PatternSource(BULK)), createWriteStream(file));
      const sum = (await run("sha256sum", [file])).stdout.split(" ")[0];
      const watch = new MemoryWatch([tunnel.server.program, tunnel.agent]);
      const args = ["--upload-file", file];
      const { status, stdout } = await curl(tunnel.server.proxy, "web", "/sum", { args, ms: COMPUTING_MS });
      const [server, agent] = await watch.stop();
      expect(status).toBe(200);
      const seen = JSON.parse(stdout) as Sum;
      expect(seen).toEqual({ bytes: BULK, mismatchAt: -1, sha256: sum });
      expect(server).toBeLessThan(MAX_RSS_MB);
      expect(agent).toBeLessThan(MAX_RSS_MB);
    });

    it("is downloaded completely, in constant memory", async () => {
      const file = join(await scene.directory(), "body");
      const hash = createHash("sha256");
      for (const piece of new PatternSource(BULK)) hash.update(piece);
      const watch = new MemoryWatch([tunnel.server.program, tunnel.agent]);
      const flags = ["--output", file];
      const { status } = await curl(tunnel.server.proxy, "web", `/bytes?n=${BULK}`, {
        args: flags,
        ms: COMPUTING_MS,
      });
      const [server, agent] = await watch.stop();
      expect(status).toBe(200);
      expect((await run("sha256sum", [file])).stdout.split(" ")[0]).toBe(hash.digest("hex"));
      expect(server).toBeLessThan(MAX_RSS_MB);
      expect(agent).toBeLessThan(MAX_RSS_MB);
    });
  },
);

/** Sends a request with Node's own client, and returns the response's head. */
function ask(
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: Readable } = {},
) {
  return new Promise<IncomingMessage>((resolve, reject) => {
    const [host, port] = tunnel.server.proxy.split(":");
    const headers = { host: "web.test", ...options.headers };
    const asking = request({ host, port, path, method: options.method ?? "GET", headers }, resolve);
    asking.on("error", reject);
    if (options.body === undefined) asking.end();
    else options.body.pipe(asking);
  });
}

/** Whether the client's socket accepted a block within `ms`. */
async function acceptsWithin(client: RawClient, block: Buffer, ms: number): Promise<boolean> {
  const taken = new Promise<true>((resolve) => client.socket.write(block, () => resolve(true)));
  return await Promise.race([taken, delay(ms, false)]);
}

describe("a body", () => {
  const size = 20 * 1024 * 1024 + 13;

  it("is uploaded and echoed chunked", async () => {
    const body = Readable.from(new PatternSource(size));
    const answer = await ask("/echo", { method: "POST", body });
    expect(answer.headers["transfer-encoding"]).toBe("chunked");
    const checker = new PatternChecker();
    for await (const piece of answer) checker.update(piece as Buffer);
    checker.assertComplete(size);
  });

  it("is uploaded and echoed with its length", async () => {
    const body = Readable.from(new PatternSource(size));
    const answer = await ask("/echo", { method: "POST", body, headers: { "content-length": `${size}` } });
    expect(answer.headers["content-length"]).toBe(`${size}`);
    const checker = new PatternChecker();
    for await (const piece of answer) checker.update(piece as Buffer);
    checker.assertComplete(size);
  });

  it("is one of many concurrent ones that don't affect each other", async () => {
    const sizes = Array.from({ length: 24 }, (_, i) => i * 100_003);
    await Promise.all(
      sizes.map(async (bytes, i) => {
        const answer = await ask(`/bytes?n=${bytes}${i % 2 === 0 ? "&chunked" : ""}`);
        const checker = new PatternChecker();
        for await (const piece of answer) checker.update(piece as Buffer);
        checker.assertComplete(bytes);
      }),
    );
  });

  it("that a client doesn't read delays no other request and takes no memory", async () => {
    const slow = await RawClient.connect(scene, tunnel.server.proxy);
    slow.socket.pause();
    slow.send(`GET /bytes?n=${GIB} HTTP/1.1\r\nHost: web.test\r\n\r\n`);
    await service.request(`/bytes?n=${GIB}`);
    const watch = new MemoryWatch([tunnel.server.program, tunnel.agent]);
    for (let i = 0; i < 20; i++) {
      const answer = await ask("/bytes?n=1000000");
      for await (const _ of answer);
    }
    for (const peak of await watch.stop()) expect(peak).toBeLessThan(MAX_RSS_MB);
  });

  it("that the service doesn't read delays no other request and takes no memory", async () => {
    const service = await startRawService(scene, (socket) => socket.pause());
    await startAgent(scene, tunnel.server.upstream, "deaf", service.addr);
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    client.send(`POST / HTTP/1.1\r\nHost: deaf.test\r\nContent-Length: ${GIB}\r\n\r\n`);
    const watch = new MemoryWatch([tunnel.server.program, tunnel.agent]);
    // Writes until nothing has been accepted for a while: by then, all kernel buffers and windows are full.
    const block = Buffer.alloc(1024 * 1024);
    while (await acceptsWithin(client, block, 500));
    expect(client.socket.bytesWritten).toBeLessThan(64 * 1024 * 1024);
    const answer = await ask("/bytes?n=1000000");
    for await (const _ of answer);
    for (const peak of await watch.stop()) expect(peak).toBeLessThan(MAX_RSS_MB);
  });

  it("needn't have ended when its response arrives", async () => {
    const answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nConnection: close\r\n\r\nstop";
    const service = await startCannedService(scene, answer, false);
    await startAgent(scene, tunnel.server.upstream, "early", service.addr);
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    client.send(`POST / HTTP/1.1\r\nHost: early.test\r\nContent-Length: ${GIB}\r\n\r\nfirst`);
    const response = await client.response("POST");
    expect(response.status).toBe(403);
    expect(response.body.toString()).toBe("stop");
  });

  it("that the service cuts never looks complete to the client", async () => {
    for (const path of ["/broken?chunked", "/broken?length"]) {
      const client = await RawClient.connect(scene, tunnel.server.proxy);
      client.send(`GET ${path} HTTP/1.1\r\nHost: web.test\r\n\r\n`);
      const text = (await client.rest()).toString("latin1");
      expect(text).toMatch(/^HTTP\/1\.1 200 /);
      expect(text).toContain("x".repeat(500));
      expect(text).not.toMatch(/0\r\n\r\n$/);
    }
  });
});

describe("an event stream", () => {
  it("passes on every event before the service sends the next one", async () => {
    let send = (_event: string): void => {};
    const service = await startRawService(scene, (socket) => {
      send = (event) => void socket.write(`${event.length.toString(16)}\r\n${event}\r\n`);
      socket.once("data", () =>
        socket.write(
          "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
      );
    });
    await startAgent(scene, tunnel.server.upstream, "events", service.addr);
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    client.send("GET / HTTP/1.1\r\nHost: events.test\r\n\r\n");
    // The head arrives before any event, too.
    await eventually(() => client.buffer.includes("\r\n\r\n"), "the head");
    for (let i = 0; i < 20; i++) {
      const event = `data: ${i}\n\n`;
      send(event);
      await eventually(() => client.buffer.includes(event), `event ${i}`);
    }
  });
});

describe("timeouts", () => {
  it("answer 504 if no response head arrives, and never cut a slow body", async () => {
    const server = await startServer(scene, { "proxy.timeout": "1s" });
    await startAgent(scene, server.upstream, "web", service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.send("GET /slow?body=2000 HTTP/1.1\r\nHost: web.test\r\n\r\n");
    expect((await client.response()).body.toString()).toBe("ok");
    client.send("GET /hang HTTP/1.1\r\nHost: web.test\r\n\r\n");
    const late = await client.response();
    expect(late.status).toBe(504);
    expect(JSON.parse(late.body.toString())).toEqual({
      error: "upstream timeout",
      endpoint: "web",
      reason: "timeout",
    });
  });

  it.each([
    ["stops coming, with 408", "GET / HTTP/1.1\r\nHost:", /^HTTP\/1\.1 408 /],
    ["never begins, in silence", "", /^$/],
  ])("end a connection whose head %s", async (_what, bytes, answer) => {
    const server = await startServer(scene, { "proxy.http.read-header-timeout": "1s" });
    const client = await RawClient.connect(scene, server.proxy);
    client.send(bytes);
    expect((await client.rest()).toString()).toMatch(answer);
  });

  it("end an idle connection", async () => {
    const server = await startServer(scene, { "proxy.http.idle-timeout": "1s" });
    await startAgent(scene, server.upstream, "web", service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.send("GET /item?i=1 HTTP/1.1\r\nHost: web.test\r\n\r\n");
    await client.response();
    expect((await client.rest()).length).toBe(0);
  });

  it("end a request whose body stops, and inform the service", async () => {
    const server = await startServer(scene, { "proxy.http.read-timeout": "300ms" });
    await startAgent(scene, server.upstream, "web", service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.send("POST /sum?stalled HTTP/1.1\r\nHost: web.test\r\nContent-Length: 1000\r\n\r\nhalf");
    const { aborted } = await service.request("/sum?stalled");
    await client.rest();
    await aborted;
  });

  it("end a connection whose client doesn't read the response, and inform the service", async () => {
    const server = await startServer(scene, { "proxy.http.write-timeout": "300ms" });
    await startAgent(scene, server.upstream, "web", service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.socket.pause();
    client.send(`GET /bytes?n=${GIB}&stuck HTTP/1.1\r\nHost: web.test\r\n\r\n`);
    const { aborted } = await service.request(`/bytes?n=${GIB}&stuck`);
    await aborted;
  });
});

// The last test, so that its minute passes while the others run.
it("an event stream with an event every 15 s lasts for a minute with default settings", async () => {
  expect((await minute).match(/data: /g)).toHaveLength(4);
});
