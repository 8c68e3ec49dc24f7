import { mkdtempSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Upstream } from "@piko/client/internal";
import { PatternChecker, PatternSource } from "@piko/testkit";
import { TestServer } from "../../../client/test/test-server.js";
import { NO_TLS, Fixtures } from "../../test/agent-rig.js";
import { RecordedLog } from "../../test/recorded-log.js";
import { createSilentLogger } from "../../test/silent-logger.js";
import { parseServiceAddress } from "../base/service-address.js";
import { systemClock } from "@piko/tunnel";
import { ServiceConnector } from "../agent/connect-service.js";
import { TcpService } from "../agent/tcp-service.js";
import { runForward } from "./run.js";

const fixtures = new Fixtures();
let server: TestServer;
beforeEach(async () => {
  server = await TestServer.start();
  fixtures.add({ [Symbol.asyncDispose]: () => server.close() });
});
afterEach(() => fixtures.dispose());

/** Listens on an endpoint with a TCP listener of the agent. */
async function listenOn(endpointId: string, port: number): Promise<void> {
  const addr = parseServiceAddress(String(port), "tcp");
  const service = new TcpService({
    endpointId,
    addr: addr.text,
    connector: new ServiceConnector({ addr, tls: NO_TLS, keepAliveMs: 0 }),
    timeoutMs: 5_000,
    logLevel: undefined,
    logger: createSilentLogger(),
    accessLogger: createSilentLogger(),
    clock: systemClock,
  });
  const upstream = new Upstream({
    url: server.url,
    endpointId,
    handler: { onStream: (stream, tunnel) => service.open(stream, tunnel.capable) },
  });
  await upstream.start();
  fixtures.add({ [Symbol.asyncDispose]: () => upstream.close() });
}

/** Runs a forwarder with one port; resolves to its port number. */
async function start(
  log: RecordedLog,
  endpointId = "tcp",
  maxConnections = Number.POSITIVE_INFINITY,
  tokenFile = "",
) {
  const abort = new AbortController();
  const done = runForward({
    config: {
      connect: { url: server.url, token: "", tokenFile, timeoutMs: 5_000, tls: NO_TLS },
      limits: { maxConnections },
      log: { level: "info", subsystems: [], format: "json" },
      ports: [{ addr: { host: "localhost", port: 0 }, endpointId }],
    },
    logger: log.logger,
    signal: abort.signal,
  });
  const stop = async (): Promise<void> => {
    abort.abort();
    await done;
  };
  fixtures.add({ [Symbol.asyncDispose]: stop });
  const line = await log.line("listening");
  expect(line).toMatchObject({ "endpoint-id": endpointId, subsystem: "forward" });
  return { port: Number(String(line["addr"]).split(":").at(-1)), stop };
}

describe("a forwarder", () => {
  it("warns at its start that its url leads to another port, before a client connects", async () => {
    const notFound = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    server.answers.push(notFound);
    const log = new RecordedLog();
    await start(log);
    expect(await log.line("endpoint can't be reached yet")).toMatchObject({
      level: "warn",
      "endpoint-id": "tcp",
      error: `${server.url}: that isn't a proxy port; the proxy port is usually 8000 (404: Not Found)`,
    });
  });

  it("resets connections above its limit, logs that once, and accepts new ones when others have ended", async () => {
    const service = await fixtures.raw((socket) => socket.pipe(socket));
    await listenOn("tcp", service.port);
    const log = new RecordedLog();
    const { port } = await start(log, "tcp", 2);
    const open = (): Socket => connect({ port, host: "127.0.0.1" }).on("error", () => {});
    /** Whether the connection is served. */
    const ask = (client: Socket): Promise<boolean> =>
      new Promise((resolve) => {
        client.once("data", () => resolve(true)).once("close", () => resolve(false));
        client.write("hello");
      });
    const [first, second] = [open(), open()];
    expect(await Promise.all([ask(first), ask(second)])).toEqual([true, true]);
    for (let i = 0; i < 3; i++) expect(await ask(open())).toBe(false);
    expect(log.find("limit reached")).toMatchObject([{ level: "error", limit: "limits.max_connections" }]);
    first.destroy();
    let refused = 3;
    let third = open();
    for (; !(await ask(third)); third = open()) refused++;
    expect(log.find("limit no longer reached")).toMatchObject([{ refused }]);
    expect(log.find("limit reached")).toHaveLength(1);
    second.destroy();
    third.destroy();
  });

  it("passes a connection on to its endpoint, and the end of each direction", async () => {
    const service = await fixtures.raw((socket) => {
      let text = "";
      socket.on("data", (data) => (text += data.toString()));
      socket.on("end", () => socket.end(text.toUpperCase()));
    });
    await listenOn("tcp", service.port);
    const { port } = await start(new RecordedLog());
    const client = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    client.end("hello");
    let text = "";
    client.on("data", (data) => (text += data.toString()));
    await once(client, "close");
    expect(text).toBe("HELLO");
  });

  it("lets the service speak first", async () => {
    const service = await fixtures.raw((socket) => socket.end("220 ready\r\n"));
    await listenOn("tcp", service.port);
    const { port } = await start(new RecordedLog());
    const client = connect({ port, host: "127.0.0.1" });
    const [greeting] = (await once(client, "data")) as [Buffer];
    expect(greeting.toString()).toBe("220 ready\r\n");
    client.destroy();
  });

  it("echoes 32 MB intact through slow peers", async () => {
    const service = await fixtures.raw((socket) => socket.pipe(socket));
    await listenOn("tcp", service.port);
    const { port } = await start(new RecordedLog());
    const client = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const checker = new PatternChecker();
    client.on("data", (data) => checker.update(data));
    const source = new PatternSource(32 * 1024 * 1024);
    for (const piece of source) if (!client.write(piece)) await once(client, "drain");
    client.end();
    await once(client, "end");
    expect(checker.mismatchAt).toBe(-1);
    expect(checker.offset).toBe(source.totalBytes);
  }, 30_000);

  it("closes a connection to an endpoint without listeners, and logs that", async () => {
    const log = new RecordedLog();
    const { port } = await start(log);
    server.answers.push("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    const client = connect({ port, host: "127.0.0.1" });
    client.on("error", () => {});
    await new Promise((resolve) => client.once("close", resolve));
    const line = await log.line("failed to dial endpoint");
    expect(line).toMatchObject({ level: "error", "endpoint-id": "tcp" });
    expect(String(line["error"])).toContain("502");
  });

  it("resets the client if the service resets", async () => {
    const service = await fixtures.raw((socket) => socket.write("x"));
    await listenOn("tcp", service.port);
    const { port } = await start(new RecordedLog());
    const client = connect({ port, host: "127.0.0.1" });
    await once(client, "data");
    const failed = once(client, "error");
    (await service.connection(0)).resetAndDestroy();
    expect(String(await failed)).toContain("ECONNRESET");
  });

  it("reads its token again for each connection, and resets a connection if there is no token", async () => {
    const service = await fixtures.raw((socket) => socket.write("x"));
    await listenOn("tcp", service.port);
    const folder = mkdtempSync(join(tmpdir(), "piko-forward-"));
    fixtures.add({ [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) });
    const tokenFile = join(folder, "token");
    const log = new RecordedLog();
    const { port } = await start(log, "tcp", undefined, tokenFile);
    for (const token of ["one", "two"]) {
      writeFileSync(tokenFile, token);
      // The connection is reset when the forwarder stops.
      await once(
        connect({ port, host: "127.0.0.1" }).on("error", () => {}),
        "data",
      );
    }
    // Without the request by which the forwarder checked at its start whether the server is there.
    const opened = server.requests.filter(({ headers }) => headers.has("upgrade"));
    const tokens = opened.map(({ headers }) => headers.get("authorization"));
    expect(tokens.filter(Boolean)).toEqual(["Bearer one", "Bearer two"]);
    writeFileSync(tokenFile, "");
    expect(String(await once(connect({ port, host: "127.0.0.1" }), "error"))).toContain("ECONNRESET");
    expect(JSON.stringify(await log.line("failed to dial endpoint"))).toContain(`${tokenFile} is empty`);
  });

  it("passes a client's reset on to the service", async () => {
    const service = await fixtures.raw((socket) => socket.write("x"));
    await listenOn("tcp", service.port);
    const { port } = await start(new RecordedLog());
    const client = connect({ port, host: "127.0.0.1" });
    await once(client, "data");
    client.resetAndDestroy();
    await service.gone(0);
  });

  it("resets its connections on both sides when it is asked to stop", async () => {
    const service = await fixtures.raw((socket) => socket.write("x"));
    await listenOn("tcp", service.port);
    const log = new RecordedLog();
    const { port, stop } = await start(log);
    const client = connect({ port, host: "127.0.0.1" });
    await once(client, "data");
    const socket = (await service.connection(0)).resume();
    const failed = Promise.all([once(client, "error"), once(socket, "error")]);
    await stop();
    for (const [error] of await failed) expect(String(error)).toContain("ECONNRESET");
    await log.line("shutdown complete");
  });

  it("fails if its port is already in use", async () => {
    const service = await fixtures.raw(() => {});
    const running = runForward({
      config: {
        connect: { url: server.url, token: "", tokenFile: "", timeoutMs: 5_000, tls: NO_TLS },
        limits: { maxConnections: 1 },
        log: { level: "info", subsystems: [], format: "json" },
        ports: [{ addr: { host: "127.0.0.1", port: service.port }, endpointId: "tcp" }],
      },
      logger: createSilentLogger(),
      signal: new AbortController().signal,
    });
    await expect(running).rejects.toThrow(`127.0.0.1:${service.port}: address already in use`);
  });
});
