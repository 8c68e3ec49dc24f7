// Bytes that no correct peer sends: each causes its specified error or a clean close, and the process keeps serving.

import { SeededRandom } from "@piko/testkit";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { startAgent, startServer, startTunnel, type Tunnel } from "../harness/piko.js";
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
  tunnel = await startTunnel(stage, service.addr);
});

/** Whatever was sent, the server is running, serves requests, and has not grown. */
afterEach(async () => {
  const client = await RawClient.connect(scene, tunnel.server.proxy);
  client.send("GET /item?i=alive HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n");
  expect((await client.response()).body.toString()).toBe("item alive");
  expect((await fetch(`http://${tunnel.server.admin}/health`)).status).toBe(200);
  expect(await tunnel.server.program.rssBytes()).toBeLessThan(250e6);
});

/** Sends bytes to the proxy port, and returns the only answer, after which the connection must end. */
async function refusal(bytes: string): Promise<{ status: number; body: string; type: string | undefined }> {
  const client = await RawClient.connect(scene, tunnel.server.proxy);
  client.send(bytes);
  const response = await client.response();
  expect((await client.rest()).length).toBe(0);
  return { status: response.status, body: response.body.toString(), type: response.field("content-type") };
}

const host = "Host: web.test\r\n";

describe("a malformed request head", () => {
  it.each([
    ["no request line", "\0\0\0\r\n\r\n", 400],
    ["a TLS ClientHello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400],
    ["a bare line feed", `GET / HTTP/1.1\n${host}\r\n`, 400],
    ["no version", `GET /\r\n${host}\r\n`, 400],
    ["a broken version", `GET / HTTX/1.1\r\n${host}\r\n`, 400],
    ["two spaces", `GET  / HTTP/1.1\r\n${host}\r\n`, 400],
    ["a space in the target", `GET /a b HTTP/1.1\r\n${host}\r\n`, 400],
    ["an invalid method", `G(T / HTTP/1.1\r\n${host}\r\n`, 400],
    ["a relative target", `GET foo HTTP/1.1\r\n${host}\r\n`, 400],
    ["version 2.0", `GET / HTTP/2.0\r\n${host}\r\n`, 505],
    ["no Host", "GET / HTTP/1.1\r\n\r\n", 400],
    ["two Hosts", `GET / HTTP/1.1\r\n${host}${host}\r\n`, 400],
    ["a Host with a path", "GET / HTTP/1.1\r\nHost: web.test/x\r\n\r\n", 400],
    ["a space before the colon", `GET / HTTP/1.1\r\n${host}X : y\r\n\r\n`, 400],
    ["a space before a name", `GET / HTTP/1.1\r\n${host} X: y\r\n\r\n`, 400],
    ["a folded line", `GET / HTTP/1.1\r\n${host}X: a\r\n b\r\n\r\n`, 400],
    ["a line without a colon", `GET / HTTP/1.1\r\n${host}nonsense\r\n\r\n`, 400],
    ["an empty name", `GET / HTTP/1.1\r\n${host}: y\r\n\r\n`, 400],
    ["a NUL in a value", `GET / HTTP/1.1\r\n${host}X: a\0b\r\n\r\n`, 400],
    ["a bare carriage return in a value", `GET / HTTP/1.1\r\n${host}X: a\rb\r\n\r\n`, 400],
    [
      "a length and chunks",
      `POST / HTTP/1.1\r\n${host}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n`,
      400,
    ],
    ["two lengths", `POST / HTTP/1.1\r\n${host}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc`, 400],
    ["a list of lengths", `POST / HTTP/1.1\r\n${host}Content-Length: 3, 3\r\n\r\nabc`, 400],
    ["a signed length", `POST / HTTP/1.1\r\n${host}Content-Length: +3\r\n\r\nabc`, 400],
    ["a negative length", `POST / HTTP/1.1\r\n${host}Content-Length: -1\r\n\r\n`, 400],
    [
      "a length with too many digits",
      `POST / HTTP/1.1\r\n${host}Content-Length: 99999999999999999999\r\n\r\n`,
      400,
    ],
    ["an unknown encoding", `POST / HTTP/1.1\r\n${host}Transfer-Encoding: gzip, chunked\r\n\r\n`, 501],
    ["chunks twice", `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked, chunked\r\n\r\n`, 501],
    ["chunks in HTTP/1.0", `POST / HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n`, 400],
  ])("with %s is refused", async (_what, bytes, status) => {
    const before = service.requests.length;
    const answer = await refusal(bytes);
    expect(answer.status).toBe(status);
    expect(Object.keys(JSON.parse(answer.body) as object)).toEqual(["error", "reason"]);
    expect(answer.type).toMatch(/^application\/json/);
    expect(service.requests.length).toBe(before);
  });

  it("that is too large is answered with 431", async () => {
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    client.send(`GET / HTTP/1.1\r\n${host}`);
    // Sent in pieces: the answer may arrive, and the connection end, before the last piece is sent.
    for (let i = 0; i < 300; i++) client.send(`X-${i}: ${"x".repeat(8_000)}\r\n`);
    expect((await client.response()).status).toBe(431);
  });

  it("with too many fields is answered with 431", async () => {
    const fields = Array.from({ length: 5_000 }, (_, i) => `x${i}:\r\n`).join("");
    expect((await refusal(`GET / HTTP/1.1\r\n${host}${fields}\r\n`)).status).toBe(431);
  });

  it("that is too large is refused even if it never ends its first line", async () => {
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    client.send("GET /");
    for (let i = 0; i < 300; i++) client.send("x".repeat(8_000));
    expect((await client.response()).status).toBe(414);
  });
});

describe("a malformed chunked body", () => {
  it.each([
    ["a size that isn't a number", "xyz\r\nabc\r\n0\r\n\r\n", 400],
    ["a size with a sign", "-1\r\nabc\r\n0\r\n\r\n", 400],
    ["too large a size", "fffffffffffffffff\r\nabc", 400],
    ["no line break after a chunk", "3\r\nabcd\r\n0\r\n\r\n", 400],
    ["a bare line feed", "3\nabc\n0\n\n", 400],
    ["an endless extension", `3;${"x".repeat(100_000)}`, 400],
    ["endless trailers", `0\r\n${"X: y\r\n".repeat(50_000)}\r\n`, 431],
  ])("with %s ends its connection, and never reaches the service completely", async (_what, body, status) => {
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    client.send(`POST /reflect HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n${body}`);
    const text = (await client.rest()).toString("latin1");
    expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(text.match(/^HTTP\/1\.1 /gm)).toHaveLength(1);
  });

  it("doesn't cause a second request", async () => {
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    const smuggled = "GET /smuggled HTTP/1.1\r\nHost: web.test\r\n\r\n";
    client.send(
      `POST /reflect HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n5\r\nabc\r\n0\r\n\r\n${smuggled}`,
    );
    await client.rest();
    expect(service.requests.some(({ url }) => url === "/smuggled")).toBe(false);
  });
});

describe("a request", () => {
  const answer = async (request: string): Promise<[number, unknown]> => {
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    client.send(request);
    const { status, body } = await client.response();
    return [status, JSON.parse(body.toString())];
  };

  const NO_ENDPOINT = { error: "missing endpoint id", reason: "no_endpoint" };
  it.each([
    [
      "an unknown endpoint",
      "GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n",
      502,
      { error: "no available upstreams", endpoint: "nobody", reason: "no_upstream" },
    ],
    ["no endpoint", "GET / HTTP/1.1\r\nHost: localhost:8000\r\n\r\n", 400, NO_ENDPOINT],
    ["an IPv4 address", "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n", 400, NO_ENDPOINT],
    ["an IPv6 address", "GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", 400, NO_ENDPOINT],
  ])("to %s is refused", async (_what, request, status, body) => {
    expect(await answer(request)).toEqual([status, body]);
  });

  it.each([
    ["GET", "/_piko/"],
    ["GET", "/_piko/v1/nothing"],
    ["GET", "/_piko/v1/tcp/"],
    ["GET", "/_piko/v1/tcp/a/b"],
    ["POST", "/_piko/v2"],
  ])("of %s %s, a reserved path, is answered with 404", async (method, path) => {
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    client.send(`${method} ${path} HTTP/1.1\r\n${host}Content-Length: 0\r\n\r\n`);
    expect((await client.response()).status).toBe(404);
    expect(service.requests.some(({ url }) => url.startsWith("/_piko"))).toBe(false);
  });

  it("with a method other than GET on the TCP path is refused", async () => {
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    client.send(`POST /_piko/v1/tcp/web HTTP/1.1\r\n${host}Content-Length: 0\r\n\r\n`);
    expect((await client.response()).status).toBe(405);
  });

  it("of a plain GET on the TCP path is answered with 426", async () => {
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    client.send(`GET /_piko/v1/tcp/web HTTP/1.1\r\n${host}\r\n`);
    expect((await client.response()).status).toBe(426);
  });
});

describe("a page", () => {
  it.each([
    ["http://elsewhere.test", 403],
    ["null", 403],
    ["http://piko.test:1", 403],
    ["http://piko.test", 502],
    ["https://PIKO.test", 502],
  ])("of the origin %s that dials a TCP endpoint without an upstream gets %i", async (origin, status) => {
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    client.send(
      "GET /_piko/v1/tcp/nobody HTTP/1.1\r\nHost: piko.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nOrigin: ${origin}\r\n\r\n`,
    );
    expect((await client.response()).status).toBe(status);
  });
});

describe("an upgrade request on the upstream port", () => {
  const upgrade = (more: string, path = "/piko/v1/upstream/bad", version = 13): string =>
    `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    `Sec-WebSocket-Version: ${version}\r\n${more}\r\n`;
  const key = "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n";

  it.each([
    ["no key", upgrade(""), 400],
    ["a short key", upgrade("Sec-WebSocket-Key: abc\r\n"), 400],
    ["another version", upgrade(key, "/piko/v1/upstream/bad", 8), 400],
    ["no upgrade", "GET /piko/v1/upstream/bad HTTP/1.1\r\nHost: x\r\n\r\n", 400],
    ["another origin", upgrade(`${key}Origin: http://elsewhere\r\n`), 403],
    ["another path", upgrade(key, "/nothing"), 404],
    ["no endpoint", upgrade(key, "/piko/v1/upstream/"), 404],
    ["a slash in the endpoint", upgrade(key, "/piko/v1/upstream/a%2Fb"), 400],
    ["another method", upgrade(key).replace("GET", "POST").replace("Host", "Content-Length: 0\r\nHost"), 404],
    ["a malformed head", "GET / HTTP/1.1\r\nHost: x\r\nbad line\r\n\r\n", 400],
  ])("with %s is refused", async (_what, request, status) => {
    const client = await RawClient.connect(scene, tunnel.server.upstream);
    client.send(request);
    expect((await client.response()).status).toBe(status);
  });
});

describe("a tunnel", () => {
  const ping = yamuxFrame(2, 1, 0, 7);

  it.each([
    ["a frame without a mask", Buffer.concat([Buffer.from([0x82, ping.length]), ping])],
    ["a text message", clientFrame(Buffer.from("hello"), 0x81)],
    ["reserved bits", clientFrame(ping, 0xc2)],
    ["an unknown opcode", clientFrame(ping, 0x83)],
    ["a continuation without a start", clientFrame(ping, 0x80)],
    ["a message within a message", Buffer.concat([clientFrame(ping, 0x02), clientFrame(ping, 0x82)])],
    ["a fragmented ping", clientFrame(Buffer.from("x"), 0x09)],
    ["a long ping", clientFrame(Buffer.alloc(126), 0x89)],
    ["a length of 2^63", Buffer.from([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4])],
    ["a close frame of one byte", clientFrame(Buffer.from([3]), 0x88)],
    ["a reserved close code", clientFrame(Buffer.from([0x03, 0xed]), 0x88)],
    ["another yamux version", clientFrame(Buffer.from([9, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]))],
    ["an unknown yamux type", clientFrame(yamuxFrame(7, 0, 0, 0))],
    ["a GoAway for a protocol error", clientFrame(yamuxFrame(3, 0, 0, 1))],
  ])("that sends %s is closed", async (_what, bytes) => {
    const client = await openTunnel(scene, tunnel.server.upstream, "bad");
    client.send(bytes);
    await client.rest();
  });

  it.each([
    ["data for a stream that isn't there", Buffer.concat([yamuxFrame(0, 0, 998, 5), Buffer.from("hello")])],
    ["a window update for a stream that isn't there", yamuxFrame(1, 0, 998, 100)],
    ["a FIN for a stream that isn't there", yamuxFrame(1, 4, 998, 0)],
    ["a reset for a stream that isn't there", yamuxFrame(1, 8, 998, 0)],
    ["an answer to a ping that wasn't sent", yamuxFrame(2, 2, 0, 99)],
    ["an empty message", Buffer.alloc(0)],
  ])("that sends %s stays open", async (_what, bytes) => {
    const client = await openTunnel(scene, tunnel.server.upstream, "odd");
    client.send(clientFrame(bytes));
    client.send(clientFrame(yamuxFrame(2, 1, 0, 0x1234)));
    expect((await client.take(14)).toString("hex")).toBe("820c000200020000000000001234");
  });

  it("that overruns a stream's window is closed", async () => {
    const agent = await openTunnel(scene, tunnel.server.upstream, "overrun");
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    client.socket.pause();
    client.send("GET / HTTP/1.1\r\nHost: overrun.test\r\n\r\n");
    await agent.take(20);
    const head = Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    agent.send(clientFrame(Buffer.concat([yamuxFrame(0, 2, 2, head.length), head])));
    // More than any window that a receiver may have granted, without waiting for an update.
    const block = clientFrame(Buffer.concat([yamuxFrame(0, 0, 2, 60_000), Buffer.alloc(60_000)]));
    for (let i = 0; i < 2_000 && !agent.ended; i++) {
      if (!agent.socket.write(block)) {
        await Promise.race([new Promise((resolve) => agent.socket.once("drain", resolve)), agent.end]);
      }
    }
    await agent.rest();
  });

  it("that answers with garbage causes a 502", async () => {
    const agent = await openTunnel(scene, tunnel.server.upstream, "garbage");
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    client.send("GET / HTTP/1.1\r\nHost: garbage.test\r\n\r\n");
    await agent.take(20);
    const body = Buffer.from("no HTTP at all\r\n\r\n");
    agent.send(clientFrame(Buffer.concat([yamuxFrame(0, 2, 2, body.length), body])));
    expect((await client.response()).status).toBe(502);
  });

  it("that resets a stream after accepting it causes a 502 if the request isn't safe to retry", async () => {
    const agent = await openTunnel(scene, tunnel.server.upstream, "reset");
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    client.send("POST / HTTP/1.1\r\nHost: reset.test\r\nContent-Length: 0\r\n\r\n");
    await agent.take(20);
    agent.send(clientFrame(Buffer.concat([yamuxFrame(1, 2, 2, 0), yamuxFrame(1, 8, 2, 0)])));
    expect((await client.response("POST")).status).toBe(502);
  });

  /** Opens a tunnel that refuses every stream that the server may have opened so far; resets of other streams are ignored. */
  async function openRefusingTunnel(endpoint: string): Promise<void> {
    const agent = await openTunnel(scene, tunnel.server.upstream, endpoint);
    const resets = Buffer.concat(Array.from({ length: 50 }, (_, i) => yamuxFrame(1, 8, 2 * (i + 1), 0)));
    const timer = setInterval(() => agent.send(clientFrame(resets)), 20);
    scene.defer(() => clearInterval(timer));
  }

  it("that refuses every stream causes a 502 in the end", async () => {
    await openRefusingTunnel("refuses");
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    client.send("GET / HTTP/1.1\r\nHost: refuses.test\r\n\r\n");
    expect((await client.response()).status).toBe(502);
  });

  it("that refuses every stream causes no failure if the endpoint has another tunnel", async () => {
    await openRefusingTunnel("mixed");
    await startAgent(scene, tunnel.server.upstream, "mixed", service.addr);
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    for (let i = 0; i < 10; i++) {
      client.send("POST /reflect HTTP/1.1\r\nHost: mixed.test\r\nContent-Length: 4\r\n\r\nbody");
      const { status, body } = await client.response("POST");
      expect(status).toBe(200);
      expect((JSON.parse(body.toString()) as { body: string }).body).toBe("body");
    }
  });
});

describe("random bytes", () => {
  it.each(["proxy", "upstream", "admin"] as const)(
    "on the %s port end only their connection",
    async (port) => {
      const random = new SeededRandom(42);
      for (let i = 0; i < 100; i++) {
        const client = await RawClient.connect(scene, tunnel.server[port]);
        client.send(random.bytes(random.int(1, 3_000)));
        client.socket.end();
        await client.rest();
      }
    },
  );

  it("instead of frames end only their tunnel", async () => {
    const random = new SeededRandom(43);
    for (let i = 0; i < 100; i++) {
      const client = await openTunnel(scene, tunnel.server.upstream, "random");
      const bytes = random.bytes(random.int(1, 3_000));
      client.send(i % 2 === 0 ? bytes : clientFrame(bytes));
      client.socket.end();
      await client.rest();
    }
  });
});

describe("a head that never ends", () => {
  it("on the proxy port ends its connection after the configured timeout", async () => {
    const server = await startServer(scene, { "proxy.http.read-header-timeout": "300ms" });
    const client = await RawClient.connect(scene, server.proxy);
    client.send("G");
    await client.rest(9_000);
  });

  it("on the upstream port ends its connection after 10 s", async () => {
    const client = await RawClient.connect(scene, tunnel.server.upstream);
    client.send("G");
    expect((await client.rest()).toString()).toMatch(/^HTTP\/1\.1 408 /);
  });
});
