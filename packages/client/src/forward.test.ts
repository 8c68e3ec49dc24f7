import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCertificates } from "@piko/testkit";
import { afterEach, describe, expect, it, vi } from "vitest";
import { defer, piko, tcpService, tearDown } from "../test/per-test.js";
import { collect, destroyed } from "../test/streams.js";
import { dial } from "./dial.js";
import { forward } from "./forward.js";

afterEach(tearDown);

describe("forward", () => {
  it("forwards connections to a TCP service, including half-closes", async () => {
    const { url } = await piko();
    const port = await tcpService((socket) => {
      void collect(socket).then((question) => socket.end(String(question).toUpperCase()));
    });
    for (const address of [port, `${port}`, `127.0.0.1:${port}`]) {
      const listener = await forward("e", address, { url });
      const client = await dial("e", { url, allowHalfOpen: true });
      client.end("x".repeat(1_000_000));
      expect(String(await collect(client))).toBe("X".repeat(1_000_000));
      await listener.close();
    }
  });

  it("sends an HTTP service the requested host", async () => {
    const { url } = await piko();
    const port = await tcpService((socket) => void collect(socket).then((request) => socket.end(request)));
    const heads: string[] = [];
    for (const hostHeader of ["rewrite", "app.test:81", undefined]) {
      const listener = await forward("e", port, { url, hostHeader });
      const client = await dial("e", { url, allowHalfOpen: true });
      client.write("GET / HTTP/1.1\r\nHost: public");
      client.end(".example.com\r\n\r\n");
      heads.push(String(await collect(client)).split("\r\n")[1] ?? "");
      await listener.close();
    }
    expect(heads).toEqual([`Host: localhost:${port}`, "Host: app.test:81", "Host: public.example.com"]);
    await expect(forward("e", port, { url, hostHeader: "http://a" })).rejects.toMatchObject({
      code: "PIKO_CLIENT_BAD_OPTION",
    });
  });

  it("enables TCP keep-alive on all of its connections, as does dial", async () => {
    const { url } = await piko();
    const port = await tcpService((socket) => socket.pipe(socket));
    const asks = vi.spyOn(Socket.prototype, "setKeepAlive");
    // With two tunnels wanted it would look for another node, with one more connection.
    const listener = await forward("e", port, { url, tunnels: 1 });
    defer(() => listener.close({ graceMs: 0 }));
    const client = await dial("e", { url });
    client.write("hello");
    await once(client, "data");
    const toPort = (socket: unknown): number | undefined => (socket as Socket).remotePort;
    const asked = asks.mock.calls.map(([on, ms], i) => [toPort(asks.mock.contexts[i]), on, ms]);
    asks.mockRestore();
    const server = Number(new URL(url).port);
    // The tunnel, the dialled connection, and the connection to the service.
    expect(asked).toEqual([
      [server, true, 60_000],
      [server, true, 60_000],
      [port, true, 30_000],
    ]);
    client.destroy();
  });

  it("resets both sides when one is cut", async () => {
    const { url } = await piko();
    let cut: (error: unknown) => void = () => {};
    const seen = new Promise((resolve) => {
      cut = resolve;
    });
    const port = await tcpService((socket) => {
      socket.once("error", cut);
      socket.on("data", (data: Buffer) => {
        if (data.includes("cut")) socket.resetAndDestroy();
        else socket.write(data);
      });
    });
    const listener = await forward("e", port, { url });
    defer(() => listener.close({ graceMs: 0 }));
    const cutByService = await dial("e", { url });
    cutByService.resume().write("cut");
    expect(await destroyed(cutByService)).toMatchObject({ code: "PIKO_CLIENT_RESET" });
    const cutByClient = await dial("e", { url });
    cutByClient.write("hold on");
    await once(cutByClient, "data");
    cutByClient.destroy();
    expect(await seen).toMatchObject({ code: "ECONNRESET" });
  });

  it("resets and logs when the service can't be reached", async () => {
    const { url } = await piko();
    const warnings: unknown[] = [];
    const logger = { debug() {}, info() {}, error() {}, warn: (message: string) => warnings.push(message) };
    const listener = await forward("e", "127.0.0.1:1", { url, logger });
    defer(() => listener.close({ graceMs: 0 }));
    const client = await dial("e", { url });
    client.resume();
    expect(await destroyed(client)).toMatchObject({ code: "PIKO_CLIENT_RESET" });
    expect(warnings).toEqual(["failed to connect to service"]);
  });

  it.each([
    0,
    65_536,
    "",
    "host",
    "host:",
    "host:port",
    "http://host/path",
    "http://user@host:1",
    "tcp://host",
    "ftp://host:1",
    "unix:relative",
    `unix:/${"x".repeat(107)}`,
    ":::1",
    "[::1]",
  ])("rejects the address %j", async (address) => {
    await expect(forward("e", address)).rejects.toMatchObject({ code: "PIKO_CLIENT_BAD_OPTION" });
  });

  it("accepts the URL of an HTTP service, with or without TLS", async () => {
    const { url } = await piko();
    using certificates = createCertificates();
    const [cert, key] = [
      certificates.read(certificates.serverCert),
      certificates.read(certificates.serverKey),
    ];
    const answer: RequestListener = (request, response) => response.end(`${request.headers.host}`);
    const plain = createHttpServer(answer);
    const secure = createHttpsServer({ cert, key }, answer);
    const ports: number[] = [];
    for (const server of [plain, secure]) {
      await new Promise<void>((resolve) => {
        server.listen(0, "127.0.0.1", resolve);
      });
      defer(() => server.close());
      ports.push((server.address() as AddressInfo).port);
    }
    const ca = certificates.read(certificates.caCert);
    for (const [address, serviceTls] of [
      [`http://127.0.0.1:${ports[0]}/`, undefined],
      [`https://localhost:${ports[1]}`, { ca }],
      [`tls://127.0.0.1:${ports[1]}`, { rejectUnauthorized: false }],
    ] as const) {
      const listener = await forward("e", address, { url, serviceTls, hostHeader: "rewrite" });
      const client = await dial("e", { url, allowHalfOpen: true });
      client.write("GET / HTTP/1.1\r\nHost: public.example.com\r\nConnection: close\r\n\r\n");
      const own = address.replace(/^\w+:\/\/|\/$/g, "");
      expect(String(await collect(client))).toContain(`\r\n\r\n${own}`);
      await listener.close();
    }
    await expect(forward("e", `http://127.0.0.1:${ports[0]}`, { url, serviceTls: {} })).rejects.toMatchObject(
      { code: "PIKO_CLIENT_BAD_OPTION" },
    );
    await expect(forward("e", "https://localhost", { url, serviceTls: { ca: "" } })).rejects.toMatchObject({
      code: "PIKO_CLIENT_BAD_OPTION",
      message: "serviceTls: no certificate in it",
    });
  });

  it("resets and logs when a service's certificate can't be verified", async () => {
    const { url } = await piko();
    using certificates = createCertificates();
    const [cert, key] = [
      certificates.read(certificates.serverCert),
      certificates.read(certificates.serverKey),
    ];
    const server = createHttpsServer({ cert, key });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    defer(() => server.close());
    const warnings: unknown[] = [];
    const logger = { debug() {}, info() {}, error() {}, warn: (...words: unknown[]) => warnings.push(words) };
    const { port } = server.address() as AddressInfo;
    const listener = await forward("e", `https://127.0.0.1:${port}`, { url, logger });
    defer(() => listener.close({ graceMs: 0 }));
    const client = await dial("e", { url });
    client.resume().write("GET / HTTP/1.1\r\n\r\n");
    expect(await destroyed(client)).toMatchObject({ code: "PIKO_CLIENT_RESET" });
    expect(JSON.stringify(warnings)).toMatch(/failed to connect to service.*certificate/);
  });

  it("accepts the path of a Unix domain socket", async () => {
    const { url } = await piko();
    const folder = await mkdtemp(join(tmpdir(), "piko-unix-"));
    defer(() => rm(folder, { recursive: true }));
    const path = join(folder, "service.sock");
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      void collect(socket).then((question) => socket.end(String(question).toUpperCase()));
    });
    await new Promise<void>((resolve) => {
      server.listen(path, resolve);
    });
    defer(() => server.close());
    for (const address of [`unix:${path}`, `unix://${path}`]) {
      const listener = await forward("e", address, { url });
      const client = await dial("e", { url, allowHalfOpen: true });
      client.end("x".repeat(1_000_000));
      expect(String(await collect(client))).toBe("X".repeat(1_000_000));
      await listener.close();
    }
  });
});

describe("forward, to a service that answers and closes with bytes unread", () => {
  it("passes on the answer", async () => {
    const { url } = await piko();
    const port = await tcpService((socket) => {
      socket.once("data", () => {
        socket.pause();
        socket.write("554 no\r\n", () => socket.destroy());
      });
    });
    const listener = await forward("e", port, { url });
    defer(() => listener.close({ graceMs: 0 }));
    const answers = new Map<string, number>();
    for (let i = 0; i < 40; i++) {
      const client = await dial("e", { url });
      let answer = "";
      client.on("data", (bytes: Buffer) => (answer += bytes.toString()));
      client.write("x".repeat(1_000_000));
      await destroyed(client);
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
    }
    expect([...answers]).toEqual([["554 no\r\n", 40]]);
  });
});
