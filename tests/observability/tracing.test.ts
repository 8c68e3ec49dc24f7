// The trace of a request through two nodes and an agent, as an OpenTelemetry collector sees it: of a successful request, a
// failed one, and a WebSocket, over HTTP/1.1 and HTTP/2. And what happens to spans that no collector accepts.

import { once } from "node:events";
import { connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { startCluster, untilEndpoints } from "../harness/cluster.js";
import { type CollectedSpan, type Collector, startCollector } from "../harness/collector.js";
import { eventually, within } from "../harness/deadline.js";
import { metric } from "../harness/metrics.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import type { Program } from "../harness/program.js";
import { secret } from "../harness/secrets.js";
import { Service } from "../harness/service.js";
import { perFile, perTest, type Stage } from "../harness/stage.js";

const scene = perTest();
secret("hunter2");

const PARENT = "00f067aa0ba902b7";
let traces = 0;

/** A client's trace, with the header fields that the client sends. */
function newTrace(flags = "01"): { id: string; headers: Record<string, string> } {
  traces++;
  const id = `4bf92f3577b34da6${traces.toString(16).padStart(16, "0")}`;
  return { id, headers: { traceparent: `00-${id}-${PARENT}-${flags}`, tracestate: "congo=t61rcWkgMzE" } };
}

const idOf = (traceparent: unknown): string => /^00-([0-9a-f]{32})-/.exec(String(traceparent))?.[1] ?? "";

/** Sends a request to an endpoint and returns the status. */
async function ask(
  server: RunningServer,
  endpoint: string,
  headers: Record<string, string> = {},
): Promise<number> {
  const response = await fetch(`http://${server.proxy}/item?i=1&token=hunter2`, {
    headers: { "x-piko-endpoint": endpoint, ...headers },
  });
  await response.arrayBuffer();
  return response.status;
}

/** Checks that each span is the parent of the next, starting from the client's. */
function expectChain(spans: readonly CollectedSpan[]): void {
  expect(spans.map(({ parentSpanId }) => parentSpanId)).toEqual([
    PARENT,
    ...spans.slice(0, -1).map(({ spanId }) => spanId),
  ]);
}

const places = (spans: readonly CollectedSpan[]): string[] =>
  spans.map(({ instance, kind, service }) => `${instance ?? service} ${kind === 2 ? "server" : "client"}`);

const WAY = ["n1 server", "n1 client", "n2 server", "n2 client", "piko-agent server", "piko-agent client"];

/** Starts two nodes; the second one has the tunnels. */
async function startNodes(
  stage: Stage,
  collector: Collector,
): Promise<readonly [RunningServer, RunningServer]> {
  return startCluster(stage, ["n1", "n2"], {
    "tracing.url": collector.url,
    "tracing.trust-clients": "true",
  });
}

function startTraced(
  stage: Stage,
  { upstream }: RunningServer,
  collector: Collector,
  endpoint: string,
  addr: string,
  flags: readonly string[] = [],
): Promise<Program> {
  const more = ["--tracing.url", collector.url, "--connect.tunnels", "1", ...flags];
  return startAgent(stage, upstream, endpoint, addr, { flags: more });
}

describe("through two nodes and an agent", () => {
  const stage = perFile();
  let collector: Collector;
  let service: Service;
  let nodes: readonly [RunningServer, RunningServer];
  let agent: Program;

  beforeAll(async () => {
    collector = await startCollector(stage);
    service = await Service.start(stage);
    nodes = await startNodes(stage, collector);
    agent = await startTraced(stage, nodes[1], collector, "web", service.addr);
    await startTraced(stage, nodes[1], collector, "dead", "127.0.0.1:1");
    await untilEndpoints(nodes[0], "n2", 2);
  });
  beforeEach(() => {
    service.requests.length = 0;
  });

  /** Checks that the access log of each program contains the trace id. */
  async function expectLogged(traceId: string): Promise<void> {
    for (const program of [nodes[0].program, nodes[1].program, agent]) {
      await program.waitForLine(
        ({ fields }) => fields["trace-id"] === traceId,
        `a line with trace-id ${traceId}`,
      );
    }
  }

  it("a request is one trace, which the service can continue", async () => {
    const { headers, id } = newTrace();
    expect(await ask(nodes[0], "web", headers)).toBe(200);
    const spans = await collector.trace(id, 6);
    expect(places(spans)).toEqual(WAY);
    expectChain(spans);
    const seen = await service.request("/item");
    expect(seen.headers["traceparent"]).toBe(`00-${id}-${spans[5]?.spanId}-01`);
    expect(seen.headers["tracestate"]).toBe(headers["tracestate"]);
    for (const span of spans) {
      expect(span.attributes).toMatchObject({
        "http.request.method": "GET",
        "http.response.status_code": 200,
      });
      expect(span.status).toBeUndefined();
      expect(span.endTimeUnixNano >= span.startTimeUnixNano).toBe(true);
    }
    expect(spans[0]?.attributes).toMatchObject({
      "url.path": "/item",
      "url.scheme": "http",
      "client.address": "127.0.0.1",
      "piko.endpoint": "web",
    });
    expect(spans[1]?.attributes).toMatchObject({ "piko.hop": "n2" });
    expect(spans[4]?.attributes).toMatchObject({ "piko.node_id": "n2" });
    expect(spans[5]?.attributes).toMatchObject({
      "server.address": "127.0.0.1",
      "server.port": service.port,
    });
    // They name the same request, by the id that is also in its log lines.
    const ids = [0, 2, 4].map((index) => spans[index]?.attributes["piko.request_id"]);
    expect(new Set(ids).size).toBe(1);
    expect(JSON.stringify(spans)).not.toContain("hunter2");
    await expectLogged(id);
  });

  it("a request over HTTP/2 is one, too", async () => {
    const { headers, id } = newTrace();
    const session = connect(`http://${nodes[0].proxy}`);
    stage.defer(() => session.destroy());
    const request = session.request({ ":path": "/item?i=1", "x-piko-endpoint": "web", ...headers });
    request.resume();
    await within(once(request, "end"), "end of the response");
    session.close();
    const spans = await collector.trace(id, 6);
    expect(places(spans)).toEqual(WAY);
    expectChain(spans);
    expect(spans[0]?.attributes["network.protocol.version"]).toBe("2");
    expect(spans[2]?.attributes["network.protocol.version"]).toBe("1.1");
  });

  it("a service that speaks HTTP/2 can continue the trace", async () => {
    const h2 = createServer();
    stage.defer(() => void h2.close());
    const seen = new Promise<Record<string, unknown>>((resolve) => {
      h2.on("request", (request, response) => {
        resolve(request.headers);
        response.end("ok");
      });
    });
    h2.listen(0, "127.0.0.1");
    await once(h2, "listening");
    const addr = `127.0.0.1:${(h2.address() as AddressInfo).port}`;
    const program = await startTraced(stage, nodes[0], collector, "h2c", addr, ["--protocol", "h2c"]);
    const { headers, id } = newTrace();
    expect(await ask(nodes[0], "h2c", headers)).toBe(200);
    const spans = await collector.trace(id, 4);
    const fields = await within(seen, "request at the service");
    expect(fields["traceparent"]).toBe(`00-${id}-${spans[3]?.spanId}-01`);
    expect(fields["tracestate"]).toBe(headers["tracestate"]);
    await program.stop();
  });

  it("a request that fails is one trace, whose spans have failed", async () => {
    const { headers, id } = newTrace();
    expect(await ask(nodes[0], "dead", headers)).toBe(502);
    const spans = await collector.trace(id, 6);
    expect(places(spans)).toEqual(WAY);
    expectChain(spans);
    for (const span of spans) {
      expect(span.status).toEqual({ code: 2 });
      expect(span.attributes["error.type"]).toBe("connect_refused");
    }
    expect(spans[0]?.attributes["http.response.status_code"]).toBe(502);
    expect(spans[5]?.attributes).not.toHaveProperty("http.response.status_code");
  });

  it("a request to an unknown endpoint is one failed span", async () => {
    const { headers, id } = newTrace();
    expect(await ask(nodes[0], "nobody", headers)).toBe(502);
    const spans = await collector.trace(id, 1);
    expect(places(spans)).toEqual(["n1 server"]);
    expect(spans[0]?.attributes).toMatchObject({ "error.type": "no_upstream", "piko.tries": 0 });
  });

  it("a WebSocket is one trace, whose spans end when it closes", async () => {
    const echo = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    stage.defer(() => echo.close());
    echo.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
    await once(echo, "listening");
    const addr = `127.0.0.1:${(echo.address() as AddressInfo).port}`;
    await startTraced(stage, nodes[1], collector, "ws", addr);
    await untilEndpoints(nodes[0], "n2", 3);
    const { headers, id } = newTrace();
    const socket = new WebSocket(`ws://${nodes[0].proxy}/`, {
      headers: { "x-piko-endpoint": "ws", ...headers },
    });
    stage.defer(() => socket.terminate());
    await within(once(socket, "open"), "open WebSocket");
    socket.send("x".repeat(1_000));
    await within(once(socket, "message"), "message");
    // A batch is sent with all spans that have ended so far. If the WebSocket's had ended, this one would contain them.
    const other = newTrace();
    expect(await ask(nodes[0], "nobody", other.headers)).toBe(502);
    await collector.trace(other.id, 1);
    expect(collector.spans.filter(({ traceId }) => traceId === id)).toEqual([]);
    socket.close();
    const spans = await collector.trace(id, 6);
    expect(places(spans)).toEqual(WAY);
    expectChain(spans);
    for (const span of spans) {
      expect(span.attributes["http.response.status_code"]).toBe(101);
      expect(span.status).toBeUndefined();
    }
    expect(spans[0]?.attributes["http.response.body.size"]).toBeGreaterThan(1_000);
  });
});

describe("a client that isn't trusted", () => {
  it("keeps its trace, and doesn't decide whether it is recorded", async () => {
    const collector = await startCollector(scene);
    const service = await Service.start(scene);
    const server = await startServer(scene, { "tracing.url": collector.url, "tracing.sample": "0" });
    await startTraced(scene, server, collector, "web", service.addr);
    const { headers, id } = newTrace();
    expect(await ask(server, "web", headers)).toBe(200);
    expect((await service.request("/item")).headers["traceparent"]).toMatch(
      new RegExp(`^00-${id}-\\w{16}-00$`),
    );
    service.requests.length = 0;
    expect(await ask(server, "web", { traceparent: "00-garbage", tracestate: "a=1" })).toBe(200);
    const seen = await service.request("/item");
    expect(seen.headers["traceparent"]).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    expect(seen.headers).not.toHaveProperty("tracestate");
    await server.program.stop();
    expect(collector.spans).toEqual([]);
  });
});

describe("without tracing", () => {
  it("a trace's header fields are passed on unchanged, and no log line has a trace id", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene);
    await startAgent(scene, server.upstream, "web", service.addr);
    const { headers } = newTrace();
    expect(await ask(server, "web", headers)).toBe(200);
    expect((await service.request("/item")).headers).toMatchObject(headers);
    const line = await server.program.waitFor("request");
    expect(line.fields).not.toHaveProperty("trace-id");
  });
});

describe("spans", () => {
  const KEY = "hunter2-key";

  it("are sent when the program stops, with the configured header fields, which are never logged", async () => {
    const collector = await startCollector(scene);
    const server = await startServer(
      scene,
      { "tracing.url": `${collector.url}/v1/traces` },
      { PIKO_TRACING_HEADERS: `x-api-key=${KEY},x-team=a` },
    );
    expect(await ask(server, "nobody")).toBe(502);
    await server.program.stop();
    expect(collector.spans.map(({ name, service }) => `${service} ${name}`)).toEqual(["piko-server GET"]);
    expect(collector.requests[0]).toMatchObject({ "x-api-key": KEY, "x-team": "a" });
    expect(server.program.lines.filter(({ text }) => text.includes(KEY))).toEqual([]);
  });

  it("that no collector accepts are queued, and dropped beyond the limit, while requests continue", async () => {
    const collector = await startCollector(scene);
    collector.status = 503;
    const server = await startServer(scene, {
      "tracing.url": collector.url,
      "tracing.max-queued-spans": "3",
    });
    for (let i = 0; i < 5; i++) expect(await ask(server, "nobody")).toBe(502);
    const dropped = `piko_tracing_dropped_spans_total{reason="queue_full"}`;
    expect(await metric(server.admin, dropped)).toBe(2);
    expect(await metric(server.admin, "piko_tracing_queued_spans")).toBe(3);
    const line = await server.program.waitFor("spans are dropped");
    expect(line.fields).toMatchObject({ level: "warn", subsystem: "tracing", reason: "queue_full" });
    await server.program.waitFor("collector takes no spans, trying again");
    collector.status = 200;
    await eventually(() => collector.spans.length === 3, "the spans that waited");
    await server.program.waitFor("collector takes spans again");
    expect(await metric(server.admin, "piko_tracing_exported_spans_total")).toBe(3);
  });

  it("don't delay the program's stop when the collector is down", async () => {
    const server = await startServer(scene, { "tracing.url": "http://127.0.0.1:1" });
    expect(await ask(server, "nobody")).toBe(502);
    const before = performance.now();
    await server.program.stop();
    expect(performance.now() - before).toBeLessThan(10_000);
  });
});

describe("many requests", () => {
  it("are sampled, each with the trace id that is in the log", async () => {
    const collector = await startCollector(scene);
    const service = await Service.start(scene);
    const server = await startServer(scene, { "tracing.url": collector.url, "tracing.sample": "0.5" });
    const agent = await startTraced(scene, server, collector, "web", service.addr, ["--tracing.sample", "0"]);
    for (let i = 0; i < 100; i++) expect(await ask(server, "web")).toBe(200);
    const sampled = service.requests.filter(({ headers }) => String(headers["traceparent"]).endsWith("-01"));
    // Out of 100, each with probability 1/2: fewer than 20 or more than 80 occur once in 10^9 runs.
    expect(sampled.length).toBeGreaterThan(20);
    expect(sampled.length).toBeLessThan(80);
    const [first] = sampled;
    await collector.trace(idOf(first?.headers["traceparent"]), 4);
    await agent.stop();
    await server.program.stop();
    const recorded = new Set(collector.spans.map(({ traceId }) => traceId));
    expect([...recorded].sort()).toEqual(sampled.map(({ headers }) => idOf(headers["traceparent"])).sort());
    expect(collector.spans).toHaveLength(4 * sampled.length);
    const logged = server.program.lines.flatMap(({ fields }) => fields["trace-id"] ?? []);
    expect(new Set(logged).size).toBe(100);
  });
});
