import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createCertificates } from "@piko/testkit";
import { acceptKey } from "@piko/tunnel";
import { afterEach, describe, expect, it } from "vitest";
import { HttpProxy } from "../test/http-proxy.js";
import { jsonError, TestServer } from "../test/test-server.js";
import { openWebSocket } from "./open-websocket.js";

const cleanUps: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function testServer(tls?: { cert: string; key: string }): Promise<TestServer> {
  const server = await TestServer.start(tls);
  cleanUps.push(() => server.close());
  return server;
}

async function httpProxy(tls?: { cert: string; key: string }): Promise<HttpProxy> {
  const proxy = await HttpProxy.start(tls);
  cleanUps.push(() => proxy.close());
  return proxy;
}

/** A TCP server that answers a request head with what `answer` returns for its key. */
async function rawServer(answer: (key: string) => string, end = true): Promise<string> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", (head) => {
      const key = /sec-websocket-key: (\S+)/i.exec(head.toString())?.[1] ?? "";
      socket.write(Buffer.from(answer(key), "latin1"));
      if (end) socket.end();
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  cleanUps.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const PATH = "/piko/v1/upstream/e";

async function opens(options: Parameters<typeof openWebSocket>[0]): Promise<void> {
  const { socket } = await openWebSocket(options);
  socket.destroy();
}

const upgrade = (key: string): string =>
  `HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\nSec-WebSocket-Accept: ${acceptKey(key)}\r\n\r\n`;

describe("openWebSocket", () => {
  it("sends the fields of the protocol, and keeps the base url's path", async () => {
    const server = await testServer();
    await opens({
      url: `${server.url}/base/`,
      path: PATH,
      token: "secret",
      tenantId: "t1",
      capabilities: "drain",
    });
    const [request] = server.requests;
    expect(request?.target).toBe(`/base${PATH}`);
    expect(Object.fromEntries(request?.headers ?? [])).toMatchObject({
      host: `localhost:${server.port}`,
      authorization: "Bearer secret",
      "x-piko-tenant-id": "t1",
      "x-piko-capabilities": "drain",
      upgrade: "websocket",
      connection: "Upgrade",
      "sec-websocket-version": "13",
    });
    expect(request?.headers.has("origin")).toBe(false);
  });

  it("omits fields that aren't set", async () => {
    const server = await testServer();
    await opens({ url: server.url, path: PATH });
    const names = [...(server.requests[0]?.headers.keys() ?? [])];
    expect(names).not.toContain("authorization");
    expect(names).not.toContain("x-piko-tenant-id");
    expect(names).not.toContain("x-piko-capabilities");
  });

  it("returns the bytes after the 101, and the fields of the response", async () => {
    const url = await rawServer(
      (key) => `HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${upgrade(key)}tail`,
      false,
    );
    const { socket, rest, headers } = await openWebSocket({ url, path: PATH });
    expect(rest.toString()).toBe("tail");
    expect(headers.get("upgrade")).toBe("WebSocket");
    expect(socket.paused).toBe(true);
    socket.destroy();
  });

  it.each([
    [401, "invalid token", false],
    [403, "no", false],
    [409, "not now", false],
    [408, "slow", true],
    [429, "busy", true],
    [500, "oops", true],
    [502, "bad gateway", true],
    [503, "later", true],
    [504, "late", true],
  ])("rejects for status %i with the server's text", async (status, words, retryable) => {
    const server = await testServer();
    server.answers.push(jsonError(status, words));
    await expect(openWebSocket({ url: server.url, path: PATH })).rejects.toMatchObject({
      code: "PIKO_CLIENT_REFUSED",
      message: `${status}: ${words}`,
      status,
      retryable,
    });
  });

  it("reads the text of a chunked refusal, and of one that ends with the connection", async () => {
    const chunked =
      'HTTP/1.1 401 No\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"error":\r\n6\r\n"why"}\r\n0\r\n\r\n';
    await expect(openWebSocket({ url: await rawServer(() => chunked), path: PATH })).rejects.toThrow(
      "401: why",
    );
    const closed = 'HTTP/1.1 401 No\r\nContent-Type: application/json\r\n\r\n{"error":"bye"}';
    await expect(openWebSocket({ url: await rawServer(() => closed), path: PATH })).rejects.toThrow(
      "401: bye",
    );
  });

  it("does not follow a redirect", async () => {
    const url = await rawServer(() => "HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n");
    await expect(openWebSocket({ url, path: PATH })).rejects.toMatchObject({ status: 301, retryable: false });
  });

  it.each([
    ["a wrong accept key", (key: string) => upgrade(key).replace(/Accept: ./, "Accept: !")],
    ["another protocol", (key: string) => upgrade(key).replace("WebSocket", "h2c")],
    ["no Connection: upgrade", (key: string) => upgrade(key).replace("keep-alive, upgrade", "keep-alive")],
    [
      "extension",
      (key: string) => upgrade(key).replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n"),
    ],
  ])("rejects a 101 with %s as not retryable", async (_, answer) => {
    const url = await rawServer(answer);
    await expect(openWebSocket({ url, path: PATH })).rejects.toMatchObject({
      code: "PIKO_CLIENT_BAD_HANDSHAKE",
      retryable: false,
    });
  });

  it.each([
    ["another protocol", "SSH-2.0-OpenSSH\r\n"],
    ["a bad status line", "HTTP/1.1 abc\r\n\r\n"],
    ["a folded line", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"],
    ["a bare line feed", "HTTP/1.1 200 OK\nA: b\r\n\r\n"],
    ["an endless head", `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(20_000)}`],
  ])("reports %s as not HTTP", async (_, answer) => {
    const url = await rawServer(() => answer, false);
    await expect(openWebSocket({ url, path: PATH })).rejects.toMatchObject({
      code: "PIKO_CLIENT_BAD_RESPONSE",
      retryable: true,
    });
  });

  it("reports a server that can't be reached, or disconnects, as retryable", async () => {
    const server = await testServer();
    server.answers.push("drop");
    await expect(openWebSocket({ url: server.url, path: PATH })).rejects.toMatchObject({
      code: "PIKO_CLIENT_CONNECT",
      retryable: true,
    });
    const { url } = server;
    await server.close();
    await expect(openWebSocket({ url, path: PATH })).rejects.toMatchObject({
      code: "PIKO_CLIENT_CONNECT",
      retryable: true,
      message: expect.stringContaining("connection refused: is piko server running there?"),
    });
  });

  it("explains when the port uses TLS, or doesn't, and isn't retryable then", async () => {
    const plain = await rawServer(() => "HTTP/1.1 400 Bad Request\r\n\r\n");
    await expect(openWebSocket({ url: plain.replace("http:", "https:"), path: PATH })).rejects.toMatchObject({
      code: "PIKO_CLIENT_CONNECT",
      retryable: false,
      message: `connect ${plain.slice(7)}: the port has no TLS: the url must begin with ${plain}`,
    });
    const alert = await rawServer(() => "\x15\x03\x01\x00\x02\x02\x46", true);
    await expect(openWebSocket({ url: alert, path: PATH })).rejects.toMatchObject({
      retryable: false,
      message: "the port requires TLS: the url must begin with https://",
    });
    const text = "Client sent an HTTP request to an HTTPS server.";
    const go = await rawServer(
      () => `HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n${text}\n`,
      true,
    );
    await expect(openWebSocket({ url: go, path: PATH })).rejects.toMatchObject({
      retryable: false,
      message: `${go}: the port requires TLS: the url must begin with https:// (400: ${text})`,
    });
  });

  it("explains when it is the wrong port", async () => {
    const server = await testServer();
    server.answers.push(jsonError(502, "no available upstreams"));
    await expect(openWebSocket({ url: server.url, path: "/piko/v1/upstream/e" })).rejects.toMatchObject({
      retryable: false,
      message: `${server.url}: that is a proxy port; the upstream port is usually 8001 (502: no available upstreams)`,
    });
  });

  it("fails after its timeout, and on a signal", async () => {
    const url = await rawServer(() => "", false);
    await expect(openWebSocket({ url, path: PATH, timeoutMs: 20 })).rejects.toMatchObject({
      code: "PIKO_CLIENT_TIMEOUT",
      retryable: true,
    });
    const stop = new AbortController();
    const pending = openWebSocket({ url, path: PATH, signal: stop.signal });
    stop.abort(new Error("enough"));
    await expect(pending).rejects.toThrow("enough");
    await expect(openWebSocket({ url, path: PATH, signal: stop.signal })).rejects.toThrow("enough");
  });

  it("may share its signal with any number of others, without a warning about a leak", async () => {
    const url = await rawServer(() => "", false);
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on("warning", onWarning);
    const stop = new AbortController();
    const pending = Array.from({ length: 12 }, () => openWebSocket({ url, path: PATH, signal: stop.signal }));
    stop.abort(new Error("enough"));
    for (const { status } of await Promise.allSettled(pending)) expect(status).toBe("rejected");
    // Node.js reports warnings in the next turn.
    await new Promise(setImmediate);
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
  });

  it.each([
    { url: "localhost:8001" },
    { url: "ftp://localhost" },
    { url: "http://user:hunter2@localhost" },
    { url: "http://localhost/?a" },
    { url: "http://localhost", token: "a\r\nb" },
    { url: "http://localhost", tls: { cert: "c" } },
    { url: "http://localhost", tls: { cert: "c", key: "" } },
    { url: "http://localhost", tls: { ca: "" } },
    { url: "http://localhost", tls: { ca: ["-----BEGIN CERTIFICATE-----\nAAAA"] } },
    { url: "http://localhost", proxyUrl: "socks://p" },
  ])("rejects invalid options: %j", async (options) => {
    const failed = openWebSocket({ path: PATH, ...options });
    await expect(failed).rejects.toMatchObject({ code: "PIKO_CLIENT_BAD_OPTION", retryable: false });
    await expect(failed).rejects.not.toThrow(/hunter2/);
  });

  it("tries again if a function returns authorities that can't be used: their file may be half written", async () => {
    const failed = openWebSocket({
      url: "http://localhost",
      path: PATH,
      tls: () => ({ ca: Buffer.alloc(0) }),
    });
    await expect(failed).rejects.toMatchObject({
      code: "PIKO_CLIENT_BAD_OPTION",
      message: "tls: no certificate in it",
      retryable: true,
    });
  });

  it("connects through a proxy, with its user name and password", async () => {
    const server = await testServer();
    const proxy = await httpProxy();
    await opens({ url: server.url, path: PATH, proxyUrl: proxy.url("us%40er:pa%3Ass@") });
    expect(proxy.requests[0]).toContain(`CONNECT localhost:${server.port} HTTP/1.1\r\n`);
    const basic = Buffer.from("us@er:pa:ss").toString("base64");
    expect(proxy.requests[0]).toContain(`Proxy-Authorization: Basic ${basic}\r\n`);
    proxy.answer = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
    await expect(openWebSocket({ url: server.url, path: PATH, proxyUrl: proxy.url() })).rejects.toMatchObject(
      {
        code: "PIKO_CLIENT_PROXY",
        status: 407,
        retryable: false,
      },
    );
  });

  it("verifies a server's certificate, also through plain and TLS proxies", async () => {
    using files = createCertificates();
    const identity = { cert: files.read(files.serverCert), key: files.read(files.serverKey) };
    const ca = files.read(files.caCert);
    const server = await testServer(identity);
    await opens({ url: server.url, path: PATH, tls: { ca } });
    await opens({ url: server.url.replace("localhost", "127.0.0.1"), path: PATH, tls: { ca } });
    await opens({ url: server.url, path: PATH, tls: { rejectUnauthorized: false } });
    await expect(openWebSocket({ url: server.url, path: PATH })).rejects.toMatchObject({
      code: "PIKO_CLIENT_CONNECT",
    });
    await expect(
      openWebSocket({ url: server.url, path: PATH, tls: { ca, servername: "other" } }),
    ).rejects.toMatchObject({ code: "PIKO_CLIENT_CONNECT" });
    const plain = await httpProxy();
    await opens({ url: server.url, path: PATH, tls: { ca }, proxyUrl: plain.url() });
    const secure = await httpProxy(identity);
    const proxied = { url: server.url, path: PATH, proxyUrl: secure.url() };
    await opens({ ...proxied, tls: { ca } });
    // Not verifying the server doesn't permit sending the proxy's password to anyone.
    const unverified = openWebSocket({ ...proxied, tls: { rejectUnauthorized: false } });
    await expect(unverified).rejects.toMatchObject({ code: "PIKO_CLIENT_CONNECT" });
  });
});
