import { mkdtempSync, renameSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { get } from "node:http";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TestServer } from "../../../client/test/test-server.js";
import { answering, NO_TLS, Fixtures } from "../../test/agent-rig.js";
import { listenerConfig, NO_TRACING } from "../../test/listener-config.js";
import { NodeStream } from "../../test/node-stream.js";
import { RecordedLog } from "../../test/recorded-log.js";
import { DEFAULT_TUNNELS, MAX_TUNNELS } from "@piko/client/internal";
import { AGENT, type AgentConfig, type ListenerConfig } from "../config/agent.js";
import { runAgent } from "./run.js";

const fixtures = new Fixtures();
const GET = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

let server: TestServer;
beforeEach(async () => {
  server = await TestServer.start();
  fixtures.add({ [Symbol.asyncDispose]: () => server.close() });
});
afterEach(() => fixtures.dispose());

function config(listeners: ListenerConfig[], more: Partial<AgentConfig> = {}): AgentConfig {
  return {
    connect: {
      url: server.url,
      token: "secret",
      tokenFile: "",
      tenantId: "",
      timeoutMs: 5_000,
      tunnels: 2,
      tls: NO_TLS,
      proxyUrl: "",
    },
    server: { enabled: false, bindAddr: { host: "127.0.0.1", port: 0 } },
    log: { level: "info", subsystems: [], format: "json" },
    tracing: NO_TRACING,
    gracePeriodMs: 60_000,
    listeners,
    ...more,
  };
}

/** Runs an agent; `stop` ends it gracefully. */
function start(agent: AgentConfig, log: RecordedLog) {
  const abort = new AbortController();
  const options = { config: agent, logger: log.logger, signal: abort.signal };
  const done = runAgent({ ...options, signalName: () => "SIGTERM" });
  const stop = async (): Promise<void> => {
    abort.abort();
    await done;
  };
  fixtures.add({ [Symbol.asyncDispose]: () => stop().catch(() => {}) });
  return { done, stop, abort };
}

/** Opens a stream to an endpoint as a server does. */
async function open(endpointId: string): Promise<NodeStream> {
  const tunnel = await server.until(() => server.tunnel(endpointId));
  const stream = new NodeStream();
  stream.stream = tunnel.open(stream);
  return stream;
}

describe("an agent", () => {
  it("logs what is connected to what, and serves several listeners at once", async () => {
    const service = await fixtures.raw(answering(() => OK));
    const echo = await fixtures.raw((socket) => socket.pipe(socket));
    const log = new RecordedLog();
    start(config([listenerConfig("web", service.port), listenerConfig("echo", echo.port, "tcp")]), log);
    const lines = [await log.line("connected", 0), await log.line("connected", 1)];
    expect(lines.map((line) => line["endpoint-id"]).sort()).toEqual(["echo", "web"]);
    expect(lines.find((line) => line["endpoint-id"] === "web")).toMatchObject({
      level: "info",
      subsystem: "agent",
      addr: String(service.port),
      "node-id": "node-1",
      tunnels: "1 of 2 tunnels, node node-1",
    });
    const web = await (await open("web")).write(GET).over();
    expect(web.text).toBe(OK);
    const tcp = await (await open("echo")).write("hello").end().over();
    expect(tcp.text).toBe("hello");
    expect(server.requests[0]?.headers.get("authorization")).toBe("Bearer secret");
    expect(log.lines.join("\n")).not.toContain("secret");
  });

  it("opens a new tunnel when the token in the file changes, before it closes the first one", async () => {
    const service = await fixtures.raw(answering(() => OK));
    const folder = mkdtempSync(join(tmpdir(), "piko-agent-"));
    fixtures.add({ [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) });
    const tokenFile = join(folder, "token");
    writeFileSync(tokenFile, "one\n");
    const log = new RecordedLog();
    const agent = config([listenerConfig("web", service.port)]);
    start({ ...agent, connect: { ...agent.connect, token: "", tokenFile } }, log);
    await log.line("connected", 0);
    const first = await server.until(() => server.tunnel("web"));
    // Secrets are typically replaced like this, in one step.
    writeFileSync(`${tokenFile}.new`, "two\n");
    renameSync(`${tokenFile}.new`, tokenFile);
    await log.line("connected", 1);
    expect(first.closed).toBe(false);
    const tokens = server.requests.map(({ headers }) => headers.get("authorization"));
    expect([...new Set(tokens)]).toEqual(["Bearer one", "Bearer two"]);
    await server.until(() => first.closed);
    expect((await (await open("web")).write(GET).over()).text).toBe(OK);
    expect(log.lines.join("\n")).not.toMatch(/one|two/);
  });

  it("logs a request with its endpoint", async () => {
    const service = await fixtures.raw(answering(() => OK));
    const log = new RecordedLog();
    start(config([listenerConfig("web", service.port)]), log);
    await (await open("web")).write(GET.replace("GET /", "GET /a?secret=1")).over();
    expect(await log.line("request")).toMatchObject({
      subsystem: "proxy.http.access",
      "endpoint-id": "web",
      request: { method: "GET", path: "/a", host: "h", status: 200, proto: "HTTP/1.1" },
    });
  });

  it("shows a user at a terminal how the endpoint is reached", async () => {
    const log = new RecordedLog("pretty");
    const { stop } = start(
      config([listenerConfig("web", 3000), listenerConfig("db", "db:5432", "tcp")]),
      log,
    );
    await server.until(() => server.tunnel("web") !== undefined && server.tunnel("db") !== undefined);
    while (!log.lines.some((line) => line.includes("curl"))) await new Promise(setImmediate);
    await stop();
    const text = log.lines.join("\n");
    expect(text).toContain("web -> http://localhost:3000");
    expect(text).toContain("db -> tcp://db:5432");
    expect(text).toContain("curl -H 'x-piko-endpoint: web' http://localhost:8000/");
    expect(text).toContain("piko forward tcp 5433 db --connect.url http://localhost:8000");
  });

  it("shows its metrics", async () => {
    const service = await fixtures.raw(answering(() => OK));
    const log = new RecordedLog();
    const enabled = { enabled: true, bindAddr: { host: "127.0.0.1", port: 0 } };
    start(config([listenerConfig("web", service.port)], { server: enabled }), log);
    const { addr } = await log.line("serving metrics");
    await (await open("web")).write(GET).over();
    const fetchText = (path: string): Promise<{ status: number | undefined; text: string }> =>
      new Promise((resolve, reject) => {
        get(`http://${String(addr)}${path}`, { agent: false }, (response) => {
          let text = "";
          response.on("data", (data: Buffer) => (text += data.toString()));
          response.on("end", () => resolve({ status: response.statusCode, text }));
        }).on("error", reject);
      });
    const { status, text } = await fetchText("/metrics");
    expect(status).toBe(200);
    expect(text).toContain('piko_agent_requests_total{status="200",method="GET",endpoint="web"} 1');
    expect((await fetchText("/other")).status).toBe(404);
  });

  it("reports that it is healthy, and ready while every listener is connected", async () => {
    const log = new RecordedLog();
    const own = { enabled: true, bindAddr: { host: "127.0.0.1", port: 0 } };
    start(config([listenerConfig("web", 1), listenerConfig("api", 1)], { server: own }), log);
    const { addr } = await log.line("serving metrics");
    const status = async (path: string): Promise<number> =>
      (await fetch(`http://${String(addr)}${path}`, { headers: { connection: "close" } })).status;
    await log.line("connected", 1);
    expect(await status("/health")).toBe(200);
    expect(await status("/ready")).toBe(200);
    const page = async (): Promise<{ listeners: { tunnels: { open: number } }[] }> =>
      (await (await fetch(`http://${String(addr)}/status`, { headers: { connection: "close" } })).json()) as {
        listeners: { tunnels: { open: number } }[];
      };
    const tunnels = async (): Promise<number[]> => (await page()).listeners.map((each) => each.tunnels.open);
    expect((await page()).listeners[0]).toEqual({
      endpoint_id: "web",
      addr: "1",
      protocol: "http",
      tunnels: { open: 1, wanted: 2, nodes: ["node-1"] },
    });

    // There is no server left to connect to.
    await server.close();
    await expect.poll(() => status("/ready"), { timeout: 5_000 }).toBe(503);
    expect(await tunnels()).toEqual([0, 0]);
    expect(await status("/health")).toBe(200);
  });

  it("keeps a tunnel to each of two nodes, and continues over one when the other is lost", async () => {
    const service = await fixtures.raw(answering(() => OK));
    const log = new RecordedLog();
    const own = { enabled: true, bindAddr: { host: "127.0.0.1", port: 0 } };
    start(config([listenerConfig("web", service.port)], { server: own }), log);
    const { addr } = await log.line("serving metrics");
    await log.line("connected", 0);
    server.becomeNode("node-2");
    expect(await log.line("connected", 1)).toMatchObject({ tunnels: "2 of 2 tunnels, nodes node-1, node-2" });
    const metrics = await (
      await fetch(`http://${String(addr)}/metrics`, { headers: { connection: "close" } })
    ).text();
    expect(metrics).toContain('piko_agent_tunnels{endpoint="web"} 2\n');
    server.tunnels[0]?.socket.reset();
    expect(await log.line("disconnected from server")).toMatchObject({
      tunnels: "1 of 2 tunnels, node node-2",
    });
    expect((await (await open("web")).write(GET).over()).text).toBe(OK);
  });

  it("gives up its tunnels while the service is unhealthy, and opens them again when it is healthy", async () => {
    let well = true;
    const service = await fixtures.raw((socket) =>
      socket.once("data", (bytes: Buffer) => {
        const text = bytes.toString("latin1");
        if (text.startsWith("GET /long")) return;
        socket.end(text.startsWith("GET /health") && !well ? "HTTP/1.1 503 Busy\r\n\r\n" : OK);
      }),
    );
    const log = new RecordedLog();
    const checked = {
      ...listenerConfig("web", service.port),
      healthCheck: {
        path: "/health",
        tcp: false,
        intervalMs: 20,
        timeoutMs: 5_000,
        unhealthyThreshold: 2,
        healthyThreshold: 1,
      },
    };
    const own = { enabled: true, bindAddr: { host: "127.0.0.1", port: 0 } };
    start(config([checked], { server: own }), log);
    const { addr } = await log.line("serving metrics");
    const get = (path: string): Promise<Response> =>
      fetch(`http://${String(addr)}${path}`, { headers: { connection: "close" } });
    const tunnel = await server.until(() => server.tunnel("web"));
    const long = (await open("web")).write(GET.replace("/", "/long"));
    await long.until(({ stream }) => stream !== undefined);
    well = false;
    await server.until(() => tunnel.receivedGoAway);
    expect(await log.line("service is unhealthy, not listening")).toMatchObject({
      level: "warn",
      "endpoint-id": "web",
      reason: "status 503",
    });
    expect((await get("/ready")).status).toBe(503);
    const { listeners } = (await (await get("/status")).json()) as { listeners: object[] };
    expect(listeners[0]).toMatchObject({ healthy: false, tunnels: { open: 0, wanted: 2, nodes: [] } });
    // Requests in progress continue.
    expect(tunnel.closed).toBe(false);
    well = true;
    const next = await server.until(() => server.tunnel("web"));
    expect(next).not.toBe(tunnel);
    await log.line("service is healthy, listening");
    expect((await (await open("web")).write(GET).over()).text).toBe(OK);
    expect((await get("/ready")).status).toBe(200);
    expect(long.reset).toBe(false);
    long.stream?.reset();
    await server.until(() => tunnel.closed);
  });

  it("opens no tunnel before a checked service is healthy, and runs meanwhile", async () => {
    let well = false;
    const service = await fixtures.raw((socket) =>
      socket.once("data", () => socket.end(well ? OK : "HTTP/1.1 500 Down\r\n\r\n")),
    );
    const log = new RecordedLog();
    const checked = {
      ...listenerConfig("web", service.port),
      healthCheck: {
        path: "/",
        tcp: false,
        intervalMs: 20,
        timeoutMs: 5_000,
        unhealthyThreshold: 1,
        healthyThreshold: 2,
      },
    };
    start(config([checked]), log);
    expect(await log.line("service is unhealthy, not listening")).toMatchObject({ reason: "status 500" });
    expect(server.requests).toEqual([]);
    well = true;
    expect(await log.line("connected")).toMatchObject({ "endpoint-id": "web" });
  });

  it("has the same default and maximum number of tunnels as a listener of the SDK", () => {
    const tunnels = AGENT.entries
      .flatMap(({ name, node }) => (name === "connect" && node.kind === "section" ? node.entries : []))
      .find(({ name }) => name === "tunnels")?.node;
    if (tunnels?.kind !== "field") throw new Error("no such setting");
    expect(tunnels.schema.parse(undefined)).toBe(DEFAULT_TUNNELS);
    expect(tunnels.schema.safeParse(MAX_TUNNELS).success).toBe(true);
    expect(tunnels.schema.safeParse(MAX_TUNNELS + 1).success).toBe(false);
    expect(tunnels.schema.safeParse(0).success).toBe(false);
  });

  it("reconnects after its tunnel was closed", async () => {
    const service = await fixtures.raw(answering(() => OK));
    const log = new RecordedLog();
    start(config([listenerConfig("web", service.port)]), log);
    const first = await server.until(() => server.tunnel("web"));
    first.session.close();
    await log.line("connected", 1);
    expect((await (await open("web")).write(GET).over()).text).toBe(OK);
    await log.line("disconnected from server");
  });

  it("warns at its start that a service isn't there, and that an id can't be a host name", async () => {
    const log = new RecordedLog();
    start(config([listenerConfig("My.Web", "127.0.0.1:1")]), log);
    expect(await log.line("service can't be reached yet: is it running?")).toMatchObject({
      level: "warn",
      "endpoint-id": "My.Web",
      addr: "127.0.0.1:1",
      error: expect.stringContaining("ECONNREFUSED"),
    });
    expect(
      await log.line("endpoint id can't be a host name: clients name it in x-piko-endpoint"),
    ).toMatchObject({ level: "warn", reason: "it has a dot" });
  });

  it("fails if one of its listeners is refused", async () => {
    server.answers.push("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    const log = new RecordedLog();
    const { done } = start(config([listenerConfig("web", 3000), listenerConfig("other", 3001)]), log);
    await expect(done).rejects.toThrow(/^listen: (web|other): .*401/);
    await server.until(() => server.tunnels.every((tunnel) => tunnel.closed));
  });

  it("fails if a file of its TLS settings is missing", async () => {
    const log = new RecordedLog();
    const missing = { ...NO_TLS, rootCas: "/nowhere/ca.pem" };
    const web = { ...listenerConfig("web", "https://localhost:3000"), tls: missing };
    await expect(start(config([web]), log).done).rejects.toThrow(
      "tls of the service: can't read /nowhere/ca.pem (ENOENT)",
    );
  });
});

describe("an agent that is asked to stop", () => {
  it("finishes the requests in progress and accepts no new ones", async () => {
    let take: (socket: Socket) => void = () => {};
    const asked = new Promise<Socket>((resolve) => (take = resolve));
    // Not the first connection: with that one, the agent probes the service.
    const service = await fixtures.raw((socket) => socket.once("data", () => take(socket)));
    const log = new RecordedLog();
    const { abort, done } = start(config([listenerConfig("web", service.port)]), log);
    const stream = (await open("web")).write(GET);
    const socket = await asked;
    const tunnel = server.tunnel("web");
    abort.abort();
    await server.until(() => tunnel?.receivedGoAway);
    socket.write(OK);
    expect((await stream.over()).text).toBe(OK);
    await done;
    expect(tunnel?.closed).toBe(true);
    expect(tunnel?.error).toBeUndefined();
    await log.line("shutdown complete");
    await expect.poll(() => socket.destroyed || socket.readableEnded).toBe(true);
  });

  it("cuts requests when the grace period has passed", async () => {
    const service = await fixtures.raw(answering(() => undefined));
    const log = new RecordedLog();
    const { abort, done } = start(config([listenerConfig("web", service.port)], { gracePeriodMs: 50 }), log);
    const stream = (await open("web")).write(GET);
    await service.connection(0);
    abort.abort();
    await done;
    expect((await stream.over()).reset).toBe(true);
    await service.gone(0);
  });

  it("closes TCP connections immediately", async () => {
    const echo = await fixtures.raw((socket) => socket.pipe(socket));
    const log = new RecordedLog();
    const { stop } = start(config([listenerConfig("echo", echo.port, "tcp")]), log);
    const stream = (await open("echo")).write("x");
    await stream.until(({ text }) => text === "x");
    await stop();
    await echo.gone(0);
  });

  it("before it is connected stops immediately", async () => {
    const agent = config([listenerConfig("web", 3000)]);
    server.stopListening();
    const log = new RecordedLog();
    const { stop } = start(agent, log);
    await log.line("failed to connect to server");
    await stop();
    await log.line("shutdown complete");
  });
});
