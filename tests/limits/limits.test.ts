// Every limit of a server, met on purpose: the answer, the metric, and that others are served on meanwhile.

import { beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/deadline.js";
import { metric, untilMetric } from "../harness/metrics.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { NetworkNamespace } from "../harness/network-namespace.js";
import { startProgram } from "../harness/program.js";
import { RawClient } from "../harness/raw-client.js";
import type { RawResponse } from "../harness/raw-response.js";
import { startCannedService, startEchoService } from "../harness/raw-service.js";
import { Service } from "../harness/service.js";
import { perFile, perTest } from "../harness/stage.js";
import { haveTools, run } from "../harness/tools.js";
import { clientFrame, openTunnel, yamuxFrame } from "../harness/wire.js";

const stage = perFile();
const scene = perTest();
let service: Service;

beforeAll(async () => {
  service = await Service.start(stage);
});

/** For thousands of answers, which take seconds on an idle machine. */
const COMPUTING_MS = 150_000;

const HOST = "Host: web.test\r\n";
const GET = `GET /item?i=1 HTTP/1.1\r\n${HOST}\r\n`;
const UPGRADE =
  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n";

/** A server with these flags and an agent for endpoint `web`. */
async function start(flags: Readonly<Record<string, string>>): Promise<RunningServer> {
  const server = await startServer(scene, flags);
  await startAgent(scene, server.upstream, "web", service.addr);
  return server;
}

const connect = (server: RunningServer): Promise<RawClient> => RawClient.connect(scene, server.proxy);

async function ask(client: RawClient, request: string): Promise<RawResponse> {
  client.send(request);
  return await client.response(request.split(" ", 1)[0]);
}

/** A request on a connection of its own, and whether the connection ended behind its answer. */
async function askOnce(server: RunningServer, request: string): Promise<RawResponse> {
  return await ask(await connect(server), request);
}

/** How many answers of status 200 have come, from now on; nothing else is kept of them. */
function countAnswers(client: RawClient): () => number {
  const marker = "HTTP/1.1 200";
  let count = 0;
  let rest = "";
  client.socket.on("data", (piece: Buffer) => {
    client.buffer = Buffer.alloc(0);
    const parts = (rest + piece.toString("latin1")).split(marker);
    count += parts.length - 1;
    rest = (parts.at(-1) ?? "").slice(1 - marker.length);
  });
  return () => count;
}

function errorOf(response: RawResponse): [number, unknown, string | undefined] {
  const { error } = JSON.parse(response.body.toString()) as { error: unknown };
  return [response.status, error, response.field("retry-after")];
}

const limited = (server: RunningServer, limit: string): Promise<number | undefined> =>
  metric(server.admin, `piko_proxy_limited_total{limit="${limit}"}`);

const refusedTunnels = (server: RunningServer, limit: string): Promise<number | undefined> =>
  metric(server.admin, `piko_upstreams_limited_total{limit="${limit}"}`);

/** A request that stays under way until its connection ends. */
async function hang(server: RunningServer, name: string): Promise<RawClient> {
  const client = await connect(server);
  client.send(`GET /hang?${name} HTTP/1.1\r\n${HOST}\r\n`);
  await service.request(`/hang?${name}`);
  return client;
}

describe("client connections", () => {
  it("beyond the limit get 503, and those within it are served on", async () => {
    const server = await start({ "proxy.limits.max-connections": "2" });
    const [first, second] = [await connect(server), await connect(server)];
    await untilMetric(server.admin, "piko_proxy_connections", 2);
    const third = await connect(server);
    expect(errorOf(await ask(third, GET))).toEqual([503, "too many connections", "1"]);
    expect((await third.rest()).length).toBe(0);
    expect((await ask(first, GET)).status).toBe(200);
    expect(await limited(server, "max_connections")).toBe(1);
    await server.program.waitFor("limit reached");
    second.socket.destroy();
    await untilMetric(server.admin, "piko_proxy_connections", 1);
    expect((await askOnce(server, GET)).status).toBe(200);
  });

  it("beyond the limit that ask for nothing are closed", async () => {
    const server = await startServer(scene, { "proxy.limits.max-connections": "1" });
    await connect(server);
    await untilMetric(server.admin, "piko_proxy_connections", 1);
    expect((await (await connect(server)).rest()).length).toBe(0);
  });

  it("of one address beyond its limit get 429, those of others don't", async () => {
    const server = await start({
      "proxy.limits.max-connections-per-client": "2",
      "proxy.proxy-protocol": "optional",
    });
    const from = async (address: string): Promise<number> => {
      const family = address.includes(":") ? "TCP6" : "TCP4";
      return (await askOnce(server, `PROXY ${family} ${address} ${address} 1 2\r\n${GET}`)).status;
    };
    // The connections stay open, and count.
    expect(await from("192.0.2.1")).toBe(200);
    expect(await from("192.0.2.1")).toBe(200);
    expect(await from("192.0.2.1")).toBe(429);
    expect(await from("192.0.2.2")).toBe(200);
    expect(await from("2001:db8:1:2::1")).toBe(200);
    expect(await from("2001:db8:1:2::2")).toBe(200);
    expect(await from("2001:db8:1:2:3::4")).toBe(429);
    expect(await from("2001:db8:1:3::1")).toBe(200);
    expect(await limited(server, "max_connections_per_client")).toBe(2);
    expect(await metric(server.admin, "piko_proxy_busiest_client_connections")).toBe(2);
  });

  it("of one address may be as many again as have ended, and have no such limit from a trusted proxy", async () => {
    const one = { "proxy.limits.max-connections-per-client": "1" };
    const server = await start(one);
    const first = await connect(server);
    await untilMetric(server.admin, "piko_proxy_busiest_client_connections", 1);
    const refused = await askOnce(server, GET);
    expect(errorOf(refused)).toEqual([429, "too many connections from this address", "1"]);
    first.socket.destroy();
    await untilMetric(server.admin, "piko_proxy_busiest_client_connections", 0);
    expect((await askOnce(server, GET)).status).toBe(200);

    const trusting = await start({ ...one, "proxy.trusted-proxies": "127.0.0.0/8" });
    for (let i = 0; i < 3; i++) expect((await askOnce(trusting, GET)).status).toBe(200);
  });
});

describe("requests in flight", () => {
  it("of one endpoint beyond the limit get 503, those of others don't", async () => {
    const server = await start({ "proxy.limits.max-requests-per-endpoint": "2" });
    await startAgent(scene, server.upstream, "other", service.addr);
    const first = await hang(server, "a");
    await hang(server, "b");
    const client = await connect(server);
    const busy = [503, "too many requests in flight for this endpoint", "1"];
    expect(errorOf(await ask(client, GET))).toEqual(busy);
    expect(await metric(server.admin, "piko_upstreams_busiest_endpoint_requests")).toBe(2);
    expect(errorOf(await askOnce(server, `GET /_piko/v1/tcp/web HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`))).toEqual(
      busy,
    );
    expect((await ask(client, GET.replace("web", "other"))).status).toBe(200);
    expect(await limited(server, "max_requests_per_endpoint")).toBe(2);
    first.socket.destroy();
    await untilMetric(server.admin, "piko_upstreams_busiest_endpoint_requests", 1);
    expect((await ask(client, GET)).status).toBe(200);
  });

  it("count TCP and upgraded connections until they end", async () => {
    const server = await startServer(scene, { "proxy.limits.max-requests-per-endpoint": "1" });
    const echo = await startEchoService(scene);
    await startAgent(scene, server.upstream, "web", echo.addr, { mode: "tcp" });
    const dial = `GET /_piko/v1/tcp/web HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`;
    const first = await connect(server);
    expect((await ask(first, dial)).status).toBe(101);
    expect((await askOnce(server, dial)).status).toBe(503);
    first.socket.destroy();
    await untilMetric(server.admin, "piko_upstreams_busiest_endpoint_requests", 0);
    expect((await askOnce(server, dial)).status).toBe(101);
  });

  it("pass over a tunnel that is full, and get 503 when all are", async () => {
    const server = await start({ "upstream.limits.max-streams-per-tunnel": "1" });
    await startAgent(scene, server.upstream, "web", service.addr);
    const first = await hang(server, "c");
    await hang(server, "d");
    expect(await metric(server.admin, "piko_upstreams_busiest_tunnel_streams")).toBe(1);
    expect(await metric(server.admin, "piko_upstreams_open_streams")).toBe(2);
    const client = await connect(server);
    expect(errorOf(await ask(client, GET))).toEqual([503, "all upstreams are busy", "1"]);
    const dial = `GET /_piko/v1/tcp/web HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`;
    expect((await askOnce(server, dial)).status).toBe(503);
    expect(await refusedTunnels(server, "max_streams_per_tunnel")).toBe(2);
    first.socket.destroy();
    await untilMetric(server.admin, "piko_upstreams_open_streams", 1);
    expect((await ask(client, GET)).status).toBe(200);
  });

  it("that wait for an endpoint to come back get 503 beyond the limit", async () => {
    const flags = { "proxy.limits.max-waiting-requests": "1", "proxy.reconnect-wait": "1m" };
    const server = await startServer(scene, flags);
    const tunnel = await openTunnel(scene, server.upstream, "web");
    tunnel.socket.destroy();
    await untilMetric(server.admin, "piko_upstreams_connected_upstreams", 0);
    const waiting = await connect(server);
    waiting.send(GET);
    await untilMetric(server.admin, "piko_upstreams_waiting_requests", 1);
    const refused = await askOnce(server, GET);
    expect(errorOf(refused)).toEqual([503, "too many requests wait for an upstream", "1"]);
    expect(await limited(server, "max_waiting_requests")).toBe(1);
    await startAgent(scene, server.upstream, "web", service.addr);
    expect((await waiting.response()).status).toBe(200);
  });
});

describe("tunnels", () => {
  const upgrade = (endpoint: string): string =>
    `GET /piko/v1/upstream/${endpoint} HTTP/1.1\r\nHost: x\r\n${UPGRADE}\r\n`;

  it("beyond the limits of the node and of an endpoint get 503, and agents come back", async () => {
    const server = await startServer(scene, {
      "upstream.limits.max-tunnels": "2",
      "upstream.limits.max-tunnels-per-endpoint": "1",
    });
    const first = await openTunnel(scene, server.upstream, "web");
    const same = await RawClient.connect(scene, server.upstream);
    expect(errorOf(await ask(same, upgrade("web")))).toEqual([
      503,
      "too many tunnels (max_tunnels_per_endpoint)",
      "1",
    ]);
    await openTunnel(scene, server.upstream, "other");
    const third = await RawClient.connect(scene, server.upstream);
    expect(errorOf(await ask(third, upgrade("third")))).toEqual([503, "too many tunnels (max_tunnels)", "1"]);
    expect(await refusedTunnels(server, "max_tunnels")).toBe(1);
    expect(await refusedTunnels(server, "max_tunnels_per_endpoint")).toBe(1);

    const agent = await startAgent(scene, server.upstream, "web", service.addr, { wait: false });
    await agent.waitForLine(({ text }) => text.includes("503"), "refusal");
    first.socket.destroy();
    await agent.waitFor("connected");
    expect((await askOnce(server, GET)).status).toBe(200);
  });

  it("that are not yet any may be so many", async () => {
    const server = await startServer(scene, { "upstream.limits.max-pending-connections": "2" });
    const pending = [
      await RawClient.connect(scene, server.upstream),
      await RawClient.connect(scene, server.upstream),
    ];
    await untilMetric(server.admin, "piko_upstreams_pending_connections", 2);
    expect((await (await RawClient.connect(scene, server.upstream)).rest()).length).toBe(0);
    expect(await refusedTunnels(server, "max_pending_connections")).toBe(1);
    for (const client of pending) client.socket.destroy();
    await untilMetric(server.admin, "piko_upstreams_pending_connections", 0);
    await openTunnel(scene, server.upstream, "web");
  });
});

describe("a request", () => {
  let server: RunningServer;
  const scope = perFile();

  beforeAll(async () => {
    server = await startServer(scope, {
      "proxy.http.max-header-bytes": "8KiB",
      "proxy.limits.max-header-fields": "20",
      "proxy.limits.max-target-bytes": "1000",
      "proxy.limits.max-body-bytes": "100000",
    });
    await startAgent(scope, server.upstream, "web", service.addr);
  });

  const path = (bytes: number): string => `/item?i=${"x".repeat(bytes - 8)}`;
  const fields = (count: number): string => Array.from({ length: count }, (_, i) => `X-${i}: y\r\n`).join("");

  it.each([
    ["of the longest target", `GET ${path(1_000)} HTTP/1.1\r\n${HOST}\r\n`, 200, "max_target_bytes"],
    ["of too long a target", `GET ${path(1_001)} HTTP/1.1\r\n${HOST}\r\n`, 414, "max_target_bytes"],
    ["of a target without end", `GET /${"x".repeat(3_000)}`, 414, "max_target_bytes"],
    ["of most fields", `GET /item?i=1 HTTP/1.1\r\n${HOST}${fields(19)}\r\n`, 200, "max_header_fields"],
    ["of too many fields", `GET /item?i=1 HTTP/1.1\r\n${HOST}${fields(20)}\r\n`, 431, "max_header_fields"],
    [
      "of too large a head",
      `GET / HTTP/1.1\r\n${HOST}X: ${"x".repeat(9_000)}\r\n\r\n`,
      431,
      "max_header_bytes",
    ],
    ["of a head without end", `GET / HTTP/1.1\r\n${HOST}X: ${"x".repeat(9_000)}`, 431, "max_header_bytes"],
    [
      "for the longest endpoint id",
      `GET / HTTP/1.1\r\nHost: x\r\nx-piko-endpoint: ${"x".repeat(255)}\r\n\r\n`,
      502,
      "max_endpoint_id_bytes",
    ],
    [
      "for too long an endpoint id",
      `GET / HTTP/1.1\r\nHost: x\r\nx-piko-endpoint: ${"x".repeat(256)}\r\n\r\n`,
      400,
      "max_endpoint_id_bytes",
    ],
    [
      "for the longest endpoint id that isn't ASCII",
      `GET / HTTP/1.1\r\nHost: x\r\nx-piko-endpoint: ${"\xc3\xa9".repeat(127)}\r\n\r\n`,
      502,
      "max_endpoint_id_bytes",
    ],
    [
      "for too long an endpoint id that isn't ASCII",
      `GET / HTTP/1.1\r\nHost: x\r\nx-piko-endpoint: ${"\xc3\xa9".repeat(128)}\r\n\r\n`,
      400,
      "max_endpoint_id_bytes",
    ],
    [
      "for too long an endpoint id in its host",
      `GET / HTTP/1.1\r\nHost: ${"x".repeat(256)}.test\r\n\r\n`,
      400,
      "max_endpoint_id_bytes",
    ],
    [
      "to dial too long an endpoint id",
      `GET /_piko/v1/tcp/${"x".repeat(256)} HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`,
      400,
      "max_endpoint_id_bytes",
    ],
    [
      "with the largest body",
      `POST /sum HTTP/1.1\r\n${HOST}Content-Length: 100000\r\n\r\n${"x".repeat(100_000)}`,
      200,
      "max_body_bytes",
    ],
    [
      "that announces too large a body",
      `POST /sum?no HTTP/1.1\r\n${HOST}Content-Length: 100001\r\n\r\n`,
      413,
      "max_body_bytes",
    ],
    [
      "that would wait for 100 with too large a body",
      `POST /sum?no HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 100001\r\n\r\n`,
      413,
      "max_body_bytes",
    ],
  ])("%s gets its answer", async (_, request, status, limit) => {
    const before = (await limited(server, limit)) ?? 0;
    const client = await connect(server);
    const response = await ask(client, request);
    expect(response.status).toBe(status);
    const refused = status !== 200 && status !== 502;
    expect(await limited(server, limit)).toBe(before + (refused ? 1 : 0));
    if (refused && status !== 400) await client.rest();
    expect(service.requests.some(({ url }) => url === "/sum?no")).toBe(false);
  });

  it.each([
    ["in one piece", 1],
    ["in many pieces", 40],
  ])("with too large a chunked body gets 413, and the service never gets it whole: %s", async (_, pieces) => {
    const before = (await limited(server, "max_body_bytes")) ?? 0;
    const name = `/sum?large=${pieces}`;
    const client = await connect(server);
    const piece = "x".repeat(120_000 / pieces);
    const chunk = `${piece.length.toString(16)}\r\n${piece}\r\n`;
    client.send(
      `POST ${name} HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(pieces)}0\r\n\r\n`,
    );
    expect(errorOf(await client.response("POST"))).toEqual([413, "request body too large", undefined]);
    await client.rest();
    expect(await limited(server, "max_body_bytes")).toBe(before + 1);
    const seen = service.requests.find(({ url }) => url === name);
    if (seen !== undefined) await seen.aborted;
  });

  it("with the largest chunked body is served", async () => {
    const chunk = `${(50_000).toString(16)}\r\n${"x".repeat(50_000)}\r\n`;
    const request = `POST /sum HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${chunk}${chunk}0\r\n\r\n`;
    const response = await askOnce(server, request);
    expect(JSON.parse(response.body.toString())).toMatchObject({ bytes: 100_000 });
  });
});

describe("a response head", () => {
  it.each([
    ["of the service", "http-client.max-response-header-bytes", {}],
    [
      "at the node",
      "proxy.limits.max-response-header-bytes",
      { "proxy.limits.max-response-header-bytes": "8192" },
    ],
  ])("beyond the limit %s is a 502", async (_, name, flags) => {
    const server = await startServer(scene, flags);
    const agentFlags = name.startsWith("http") ? [`--${name}`, "8192"] : [];
    const canned = await startCannedService(
      scene,
      `HTTP/1.1 200 OK\r\nX: ${"x".repeat(9_000)}\r\nContent-Length: 0\r\n\r\n`,
    );
    await startAgent(scene, server.upstream, "web", canned.addr, { flags: agentFlags });
    expect((await askOnce(server, GET)).status).toBe(502);
    if (name.startsWith("proxy")) expect(await limited(server, "max_response_header_bytes")).toBe(1);
  });
});

describe("memory for bytes that wait", () => {
  it("keeps large heads in parts out when it is used up, and is given back", async () => {
    const server = await start({ "proxy.limits.max-buffered-bytes": "6000" });
    const holder = await connect(server);
    holder.send(`GET / HTTP/1.1\r\n${HOST}X: ${"x".repeat(3_500)}`);
    await untilMetric(server.admin, "piko_proxy_buffered_bytes", 3_500 + 35);
    const client = await connect(server);
    client.send(`GET / HTTP/1.1\r\n${HOST}X: ${"x".repeat(6_000)}`);
    expect(errorOf(await client.response())).toEqual([503, "server is busy", "1"]);
    expect(await limited(server, "max_buffered_bytes")).toBe(1);

    // A small one in parts, and a large one in one part, pass all the same.
    const small = await connect(server);
    small.send(GET.slice(0, 20));
    await untilMetric(server.admin, "piko_proxy_connections", 2);
    small.send(GET.slice(20));
    expect((await small.response()).status).toBe(200);
    expect(
      (await askOnce(server, GET.replace("\r\n\r\n", `\r\nX: ${"x".repeat(6_000)}\r\n\r\n`))).status,
    ).toBe(200);
    holder.send("\r\n\r\n");
    await holder.response();
    for (const each of [holder, small]) each.socket.destroy();
    await untilMetric(server.admin, "piko_proxy_connections", 1);
  });

  it("is so much for each connection: who sends more ahead is read from no more until its turn has come", async () => {
    const server = await start({ "proxy.limits.max-buffered-bytes-per-connection": "4096" });
    const client = await hang(server, "ahead");
    const requests = GET.repeat(2_000);
    client.send(requests);
    await eventually(
      async () => (await limited(server, "max_buffered_bytes_per_connection")) === 1,
      "end of reading",
    );
    const held = (await metric(server.admin, "piko_proxy_buffered_bytes")) ?? 0;
    expect(held).toBeGreaterThan(4_096);
    // One read more than the limit, and what is kept of the request under way.
    expect(held).toBeLessThan(4_096 + 65_536 + 1_024);
    expect(held).toBeLessThan(requests.length);
    expect((await askOnce(server, GET)).status).toBe(200);
  });

  it("is no more for a client that goes on sending ahead, however long", async () => {
    const server = await start({ "proxy.access-log.disable": "true" });
    const client = await connect(server);
    const count = 3_000;
    client.send(GET.replace("\r\n\r\n", `\r\nX: ${"x".repeat(250)}\r\n\r\n`).repeat(count));
    const answers = countAnswers(client);
    let most = 0;
    await eventually(
      async () => {
        most = Math.max(most, (await metric(server.admin, "piko_proxy_buffered_bytes")) ?? 0);
        return answers() === count;
      },
      "all answers",
      COMPUTING_MS,
    );
    expect(most).toBeGreaterThan(0);
    // The limit, one read more, and the room that memory is taken in.
    expect(most).toBeLessThan(5 * 65_536);
  });

  it("is no more for a client that asks and reads no answer", async () => {
    const server = await start({});
    const client = await connect(server);
    const request = "OPTIONS * HTTP/1.1\r\nHost: web.test\r\n\r\n";
    const count = 200_000;
    client.socket.pause();
    client.send(request.repeat(count));
    const { socket } = client;
    let before = -1;
    // The server stops reading when its answers aren't read.
    await eventually(async () => {
      const stuck = socket.writableLength > 0 && socket.bytesWritten === before;
      before = socket.bytesWritten;
      return stuck && (await metric(server.admin, "piko_proxy_connections")) === 1;
    }, "a server that reads no more");
    expect((await metric(server.admin, "piko_proxy_buffered_bytes")) ?? 0).toBeLessThan(4 * 65_536);
    expect((await askOnce(server, GET)).status).toBe(200);
    const answers = countAnswers(client);
    socket.resume();
    await eventually(() => answers() === count, "all answers", COMPUTING_MS);
  });

  it("is asked for by response heads in parts too, which have a limit of their own", async () => {
    const server = await startServer(scene, { "proxy.limits.max-buffered-bytes": "100000" });
    // The agent passes no head on that isn't whole: a tunnel by hand does.
    const agent = await openTunnel(scene, server.upstream, "parts");
    const part = Buffer.from(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(40_000)}`);
    const hung: RawClient[] = [];
    for (let stream = 2; stream <= 10; stream += 2) {
      const client = await connect(server);
      client.send(`GET /${stream} HTTP/1.1\r\nHost: parts.test\r\n\r\n`);
      await eventually(() => Promise.resolve(agent.buffer.includes(`GET /${stream} `)), "the request");
      agent.send(
        clientFrame(
          Buffer.concat([yamuxFrame(1, 2, stream, 0), yamuxFrame(0, 0, stream, part.length), part]),
        ),
      );
      agent.buffer = Buffer.alloc(0);
      hung.push(client);
    }
    const last = hung.at(-1);
    expect(errorOf((await last?.response()) as RawResponse)).toEqual([503, "server is busy", "1"]);
    const held = (await metric(server.admin, "piko_proxy_buffered_bytes")) ?? 0;
    expect(held).toBeLessThan(250_000);
    for (const each of hung) each.socket.destroy();
    agent.socket.destroy();
    await untilMetric(server.admin, "piko_proxy_connections", 0);
    expect(await metric(server.admin, "piko_proxy_buffered_bytes")).toBe(0);
  });

  it("is nothing when nobody is connected, whatever was sent", async () => {
    const server = await start({});
    const large = "x".repeat(200_000);
    const requests = [
      GET + GET + GET,
      `POST /sum HTTP/1.1\r\n${HOST}Content-Length: 200000\r\n\r\n${large}`,
      `POST /hang?given HTTP/1.1\r\n${HOST}Content-Length: 200000\r\n\r\n${large}`,
      `GET / HTTP/1.1\r\n${HOST}X: ${large}`,
      `POST /nobody HTTP/1.1\r\nHost: nobody.test\r\nContent-Length: 200000\r\n\r\n${large}`,
    ];
    const clients = await Promise.all(requests.map(() => connect(server)));
    clients.forEach((client, i) => client.send(requests[i] ?? ""));
    await service.request("/hang?given");
    const dialled = await connect(server);
    expect((await ask(dialled, `GET /_piko/v1/tcp/web HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`)).status).toBe(101);
    const agent = await RawClient.connect(scene, server.upstream);
    agent.send(`GET /piko/v1/upstream/x HTTP/1.1\r\nX: ${"x".repeat(5_000)}`);
    await untilMetric(server.admin, "piko_upstreams_pending_connections", 1);
    for (const client of [...clients, dialled, agent]) client.socket.destroy();
    await untilMetric(server.admin, "piko_proxy_connections", 0);
    await untilMetric(server.admin, "piko_upstreams_pending_connections", 0);
    await untilMetric(server.admin, "piko_proxy_buffered_bytes", 0);
  });
});

describe("peers that stop", () => {
  it("in a head get 408, in a body too, and those that read nothing are cut", async () => {
    const server = await start({
      // For the time from each connection to its first bytes, too.
      "proxy.http.read-header-timeout": "1500ms",
      "proxy.http.read-timeout": "1500ms",
      "proxy.http.write-timeout": "1500ms",
      "proxy.http.idle-timeout": "1500ms",
    });
    const head = await connect(server);
    head.send("GET / HTTP/1.1\r\nHost:");
    const body = await connect(server);
    body.send(`POST /sum?half HTTP/1.1\r\n${HOST}Content-Length: 1000\r\n\r\nhalf`);
    const chunked = await connect(server);
    chunked.send(`POST /sum?half HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n5\r\nhal`);
    const reader = await connect(server);
    reader.socket.pause();
    reader.send(`GET /bytes?n=1000000000&limits HTTP/1.1\r\n${HOST}\r\n`);
    const idle = await connect(server);
    expect((await ask(idle, GET)).status).toBe(200);
    const silent = await connect(server);

    for (const client of [head, body, chunked]) {
      expect(errorOf(await client.response())).toEqual([408, "request timeout", undefined]);
      await client.rest();
    }
    for (const client of [idle, silent]) expect((await client.rest()).length).toBe(0);
    await (await service.request("/bytes?n=1000000000&limits")).aborted;
    await untilMetric(server.admin, "piko_proxy_connections", 0);
    expect(await limited(server, "read_header_timeout")).toBe(1);
    expect(await limited(server, "read_timeout")).toBe(2);
    expect(await limited(server, "write_timeout")).toBe(1);
  });

  it("don't keep a slow but steady peer from its answer", async () => {
    const server = await start({ "proxy.http.read-timeout": "1500ms" });
    const client = await connect(server);
    client.send(`POST /sum HTTP/1.1\r\n${HOST}Content-Length: 8\r\n\r\n`);
    for (let i = 0; i < 8; i++) {
      // Longer together than the limit, which is on each pause.
      await new Promise((resolve) => setTimeout(resolve, 250));
      client.send("x");
    }
    expect((await client.response("POST")).status).toBe(200);
  });

  it("without a word are asked by TCP whether they are there", async () => {
    if (!haveTools("ss")) return;
    const server = await startServer(scene, { "proxy.http.tcp-keep-alive": "30s" });
    await connect(server);
    await openTunnel(scene, server.upstream, "web");
    for (const [address, seconds] of [
      [server.proxy, 30],
      [server.upstream, 60],
    ] as const) {
      const port = address.split(":")[1] ?? "";
      const { stdout } = await run("ss", ["-Htno", "state", "established", `sport = :${port}`]);
      const timer = Number(/timer:\(keepalive,(\d+)(?:\.\d+)?sec/.exec(stdout)?.[1]);
      expect(timer).toBeGreaterThan(seconds - 10);
      expect(timer).toBeLessThanOrEqual(seconds);
    }
  });

  it("and vanish from the network are found out, whatever they were doing", async () => {
    const network = await NetworkNamespace.create(scene);
    if (network === undefined) return;
    const server = await startServer(scene, {
      "proxy.bind-addr": `${network.host}:0`,
      "proxy.http.tcp-keep-alive": "1s",
    });
    await startAgent(scene, server.upstream, "web", service.addr);
    const echo = await startEchoService(scene);
    await startAgent(scene, server.upstream, "echo", echo.addr, { mode: "tcp" });
    const requests = [
      GET,
      `GET /hang?head&vanish HTTP/1.1\r\n${HOST}\r\n`,
      `GET /_piko/v1/tcp/echo HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`,
    ];
    const [host = "", port = ""] = server.proxy.split(":");
    const script = `for (const text of ${JSON.stringify(requests)})
      require("node:net").connect(${port}, "${host}").on("error", () => {}).write(text);`;
    startProgram(scene, "client", ...network.command(process.execPath, ["-e", script]));
    await untilMetric(server.admin, "piko_proxy_connections", 3);
    const { aborted } = await service.request("/hang?head&vanish");
    await untilMetric(server.admin, "piko_upstreams_open_streams", 2);
    await network.silence();
    await aborted;
    await untilMetric(server.admin, "piko_proxy_connections", 0);
    expect(await metric(server.admin, "piko_upstreams_open_streams")).toBe(0);
  });
});

describe("agents that stop", () => {
  it("in their upgrade request get 408, those that never began are closed", async () => {
    const server = await startServer(scene, { "upstream.limits.read-header-timeout": "1s" });
    const silent = await RawClient.connect(scene, server.upstream);
    const slow = await RawClient.connect(scene, server.upstream);
    slow.send("GET /piko/v1/upstream/web HTTP/1.1\r\nHost:");
    expect(errorOf(await slow.response())).toEqual([408, "request timeout", undefined]);
    expect((await silent.rest()).length).toBe(0);
    expect(await refusedTunnels(server, "read_header_timeout")).toBe(2);
    await untilMetric(server.admin, "piko_upstreams_pending_connections", 0);
  });

  it("answering pings lose their tunnel, those that answer keep it", async () => {
    const server = await start({
      "upstream.limits.ping-interval": "1600ms",
      "upstream.limits.ping-timeout": "1500ms",
    });
    // Before it is opened: a busy machine makes this longer, never shorter.
    const asked = performance.now();
    const silent = await openTunnel(scene, server.upstream, "silent");
    await silent.rest();
    expect(performance.now() - asked).toBeGreaterThan(3_000);
    await untilMetric(server.admin, "piko_upstreams_connected_upstreams", 1);
    expect(await refusedTunnels(server, "ping_timeout")).toBe(1);
    expect((await askOnce(server, GET)).status).toBe(200);
  });
});
