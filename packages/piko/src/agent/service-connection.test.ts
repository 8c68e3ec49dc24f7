// The life of connections to the service: reuse, retries, timeouts, and ends on either side.

import { createServer } from "node:https";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createCertificates, FakeClock } from "@piko/testkit";
import { afterEach, describe, expect, it } from "vitest";
import type { UpstreamEvents } from "../http/exchange/upstream-call.js";
import { parseRequestHead } from "../http/h1/parse-request-head.js";
import { RequestHead } from "../http/head.js";
import { PLAIN_REQUEST } from "../http/request-rewrite.js";
import { answering, NO_TLS, received, Fixtures } from "../../test/agent-rig.js";

const fixtures = new Fixtures();

afterEach(() => fixtures.dispose());

const GET = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const UNREACHABLE = '{"error":"upstream unreachable","endpoint":"my-endpoint","reason":"connect_refused"}\n';
const TIMEOUT = '{"error":"upstream timeout","endpoint":"my-endpoint","reason":"timeout"}\n';
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a connection", () => {
  it("carries one request after another", async () => {
    const service = await fixtures.raw(answering(() => OK));
    const rig = await fixtures.rig({ service: service.port });
    for (let i = 0; i < 10; i++) expect((await rig.request(GET)).text).toBe(OK);
    expect(service.connections.length).toBe(1);
    expect(rig.pool.idleCount).toBe(1);
  });

  it("shows the requested host to the service", async () => {
    const service = await fixtures.raw(
      answering(
        (request) => `HTTP/1.1 200 OK\r\nX: ${/^Host: .*/im.exec(request)?.[0]}\r\nContent-Length: 0\r\n\r\n`,
      ),
    );
    const rig = await fixtures.rig({ service: service.port, hostHeader: "rewrite" });
    expect((await rig.request(GET)).text).toContain(`X: Host: 127.0.0.1:${service.port}\r\n`);
  });

  it("isn't shared by concurrent requests", async () => {
    const service = await fixtures.raw(answering(() => OK));
    const rig = await fixtures.rig({ service: service.port });
    await Promise.all([rig.request(GET), rig.request(GET), rig.request(GET)]);
    expect(service.connections.length).toBe(3);
    expect(rig.pool.idleCount).toBe(3);
    // The most recently used connection is used first.
    await rig.request(GET);
    await rig.request(GET);
    expect(service.connections.length).toBe(3);
  });

  it.each([
    ["the service says close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"],
    ["the service speaks HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"],
    [
      "the service keeps it only for a moment",
      "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok",
    ],
  ])("is used only once if %s", async (_why, text) => {
    const service = await fixtures.raw(answering(() => text));
    const rig = await fixtures.rig({ service: service.port });
    expect((await rig.request(GET)).text).toMatch(/ok$/);
    expect((await rig.request(GET)).text).toMatch(/ok$/);
    expect(service.connections.length).toBe(2);
  });

  it("is closed if more than max_idle_conns would be idle", async () => {
    const service = await fixtures.raw(answering(() => OK));
    const rig = await fixtures.rig({ service: service.port, maxIdle: 1 });
    await Promise.all([rig.request(GET), rig.request(GET)]);
    expect(rig.pool.idleCount).toBe(1);
    await Promise.race([service.gone(0), service.gone(1)]);
  });

  it("is closed if it was idle for too long, or nearly as long as the service keeps it", async () => {
    const clock = new FakeClock();
    let fields = "";
    const service = await fixtures.raw(
      answering(() => `HTTP/1.1 200 OK\r\n${fields}Content-Length: 2\r\n\r\nok`),
    );
    const rig = await fixtures.rig({ service: service.port, clock, idleTimeoutMs: 60_000 });
    await rig.request(GET);
    clock.advance(59_000);
    await rig.request(GET);
    clock.advance(59_000);
    expect(rig.pool.idleCount).toBe(1);
    clock.advance(2_000);
    expect(rig.pool.idleCount).toBe(0);
    fields = "Keep-Alive: timeout=5, max=100\r\n";
    await rig.request(GET);
    clock.advance(3_500);
    expect(rig.pool.idleCount).toBe(1);
    clock.advance(1_000);
    expect(rig.pool.idleCount).toBe(0);
    clock.assertIdle();
  });

  it("leaves the pool when the service closes it", async () => {
    const service = await fixtures.raw(answering(() => OK));
    const rig = await fixtures.rig({ service: service.port });
    await rig.request(GET);
    (await service.connection(0)).end();
    await service.gone(0);
    while (rig.pool.idleCount > 0) await turn();
    expect((await rig.request(GET)).text).toBe(OK);
    expect(service.connections.length).toBe(2);
  });

  it.each([
    ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"],
    ["HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n"],
  ])(
    "is closed if a body is announced where there is none, since it may arrive late: %s",
    async (method, text) => {
      const service = await fixtures.raw(answering(() => text));
      const rig = await fixtures.rig({ service: service.port });
      await rig.request(GET.replace("GET", method));
      await service.gone(0);
      expect(rig.pool.idleCount).toBe(0);
    },
  );

  it("treats bytes that arrive before its request was sent as unexpected, and the request is sent elsewhere", async () => {
    const service = await fixtures.raw(answering(() => OK));
    const rig = await fixtures.rig({ service: service.port });
    await rig.request(GET);
    const lost: unknown[] = [];
    const events: Partial<UpstreamEvents> = {
      onLost: (_why, seen, detail) => void lost.push([seen, detail]),
    };
    const connection = rig.pool.take(events as UpstreamEvents, true);
    const [get, stray] = [Buffer.from(GET), Buffer.from(OK)];
    const head = new RequestHead(16);
    parseRequestHead(head, get, 0, get.length);
    connection.send(head, PLAIN_REQUEST, true);
    connection.onBytes(stray, 0, stray.length);
    expect(lost).toEqual([["stale", "sent unexpected bytes"]]);
  });

  it("leaves the pool if the service sends unexpected bytes", async () => {
    const service = await fixtures.raw(answering(() => OK));
    const rig = await fixtures.rig({ service: service.port });
    await rig.request(GET);
    (await service.connection(0)).write(OK);
    await service.gone(0);
    expect(rig.pool.idleCount).toBe(0);
  });
});

describe("a service", () => {
  it("that isn't there results in 502 immediately, and is found again when it is back", async () => {
    const service = await fixtures.raw(answering(() => OK));
    const { port } = service;
    const rig = await fixtures.rig({ service: port });
    await service[Symbol.asyncDispose]();
    const refused = await rig.request(GET);
    expect(refused.text).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\n/);
    expect(refused.text).toContain(UNREACHABLE);
    service.server.listen(port, "127.0.0.1");
    await once(service.server, "listening");
    expect((await rig.request(GET)).text).toBe(OK);
    expect(rig.statuses).toEqual({ 200: 1, 502: 1 });
  });

  it("that sends no response head in time results in 504", async () => {
    const clock = new FakeClock();
    const service = await fixtures.raw(answering(() => undefined));
    const rig = await fixtures.rig({ service: service.port, clock, timeoutMs: 5_000 });
    const stream = rig.open().write(GET);
    await received(await service.connection(0), (text) => text.endsWith("\r\n\r\n"));
    clock.advance(4_900);
    expect(stream.bytes).toBe(0);
    clock.advance(400);
    await stream.over();
    expect(stream.text).toMatch(/^HTTP\/1\.1 504 Gateway Timeout\r\n/);
    expect(stream.text).toContain(TIMEOUT);
    await service.gone(0);
    clock.assertIdle();
  });

  it("may take any time to send its body", async () => {
    const clock = new FakeClock();
    const service = await fixtures.raw(answering(() => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"));
    const rig = await fixtures.rig({ service: service.port, clock, timeoutMs: 5_000 });
    const stream = rig.open().write(GET);
    await stream.until(({ text }) => text.endsWith("ab"));
    clock.advance(3_600_000);
    (await service.connection(0)).write("cd");
    await stream.over();
    expect(stream.text).toMatch(/abcd$/);
  });

  it("has a timeout that counts from the last part of an upload, however long that takes", async () => {
    const clock = new FakeClock();
    const service = await fixtures.raw(() => {});
    const rig = await fixtures.rig({ service: service.port, clock, timeoutMs: 5_000 });
    const stream = rig.open().write("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n");
    const socket = await service.connection(0);
    await received(socket, (text) => text.endsWith("\r\n\r\n"));
    for (let i = 0; i < 3; i++) {
      clock.advance(60_000);
      stream.write("x");
      await received(socket, (text) => text.endsWith("x"));
    }
    clock.advance(4_900);
    expect(stream.bytes).toBe(0);
    clock.advance(400);
    await stream.over();
    expect(stream.text).toContain(TIMEOUT);
  });

  it.each([
    ["a length", "Content-Length: 10\r\n\r\nhalf"],
    ["chunks", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"],
  ])("that fails within a body with %s resets the stream", async (_kind, rest) => {
    const service = await fixtures.raw((socket) =>
      socket.once("data", () => socket.end(`HTTP/1.1 200 OK\r\n${rest}`)),
    );
    const rig = await fixtures.rig({ service: service.port });
    const response = await rig.request(GET);
    expect(response.text).toContain("half");
    expect(response.ended).toBe(false);
    expect(response.reset).toBe(true);
  });

  it("that resets its connection within a body without framing resets the stream", async () => {
    const service = await fixtures.raw((socket) => {
      socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\n\r\nhalf"));
    });
    const rig = await fixtures.rig({ service: service.port });
    const stream = rig.open().write(GET);
    await stream.until(({ text }) => text.includes("half"));
    (await service.connection(0)).resetAndDestroy();
    await stream.over();
    expect(stream.reset).toBe(true);
  });
});

describe("a client that goes away", () => {
  it.each([
    ["ends", (stream: { end(): unknown }) => stream.end()],
    ["resets", (stream: { stream: { reset(): void } | undefined }) => stream.stream?.reset()],
  ])("cancels its request at the service: its stream %s", async (_how, leave) => {
    const service = await fixtures.raw(answering(() => undefined));
    const rig = await fixtures.rig({ service: service.port });
    const stream = rig.open().write(GET);
    await received(await service.connection(0), (text) => text.endsWith("\r\n\r\n"));
    leave(stream);
    await service.gone(0);
    while (rig.metrics.inFlight > 0) await turn();
    expect(rig.statuses).toEqual({ 499: 1 });
    expect(rig.pool.idleCount).toBe(0);
    while (rig.agentStreams > 0) await turn();
  });

  it("ends a response that it doesn't read", async () => {
    const port = await fixtures.http((_request, response) => {
      response.end(Buffer.alloc(8 * 1024 * 1024));
    });
    const rig = await fixtures.rig({ service: port });
    const stream = rig.open();
    stream.reading = false;
    stream.write(GET);
    await stream.until(({ bytes }) => bytes >= 256 * 1024);
    stream.stream?.reset();
    while (rig.agentStreams > 0) await turn();
    expect(rig.metrics.inFlight).toBe(0);
  });

  it("does so when the whole tunnel ends", async () => {
    const service = await fixtures.raw(answering(() => undefined));
    const rig = await fixtures.rig({ service: service.port });
    rig.open().write(GET);
    await service.connection(0);
    rig.cut();
    await service.gone(0);
  });
});

describe("a service with TLS", () => {
  it("is verified, and reached with its own CA or without verification", async () => {
    using certificates = createCertificates();
    const server = createServer(
      { cert: readFileSync(certificates.serverCert), key: readFileSync(certificates.serverKey) },
      (request, response) => response.end(`tls ${request.url}`),
    );
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    fixtures.add({
      [Symbol.asyncDispose]: async () => {
        server.close();
        server.closeAllConnections();
        await once(server, "close");
      },
    });
    const service = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const refused = await fixtures.rig({ service });
    expect((await refused.request(GET)).text).toContain(
      UNREACHABLE.replace("connect_refused", "connect_failed"),
    );
    const verified = await fixtures.rig({ service, tls: { ...NO_TLS, rootCas: certificates.caCert } });
    expect((await verified.request(GET)).text).toMatch(/tls \/$/);
    expect((await verified.request(GET)).text).toMatch(/tls \/$/);
    const skipped = await fixtures.rig({ service, tls: { ...NO_TLS, insecureSkipVerify: true } });
    expect((await skipped.request(GET)).text).toMatch(/tls \/$/);
  });
});
