// The share of the upstream port that one address may use: beyond it, agents get 429 and try again, and others are still served.

import { expect, it } from "vitest";
import { metric, untilMetric } from "../harness/metrics.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();
const UPGRADE =
  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n";
const upgrade = (endpoint: string): string =>
  `GET /piko/v1/upstream/${endpoint} HTTP/1.1\r\nHost: x\r\n${UPGRADE}\r\n`;

/** Addresses of the loopback interface that agents connect from. */
const [HERE, THERE] = ["127.0.0.2", "127.0.0.3"];

const refused = (server: RunningServer): Promise<number | undefined> =>
  metric(server.admin, 'piko_upstreams_limited_total{limit="max_tunnels_per_client"}');

async function open(server: RunningServer, from: string, endpoint: string): Promise<[number, RawClient]> {
  const client = await RawClient.connect(scene, server.upstream, from);
  client.send(upgrade(endpoint));
  return [(await client.response()).status, client];
}

it("refuses tunnels of an address beyond its share, and accepts new ones when others have ended", async () => {
  const server = await startServer(scene, { "upstream.limits.max-tunnels-per-client": "2" });
  const [, first] = await open(server, HERE, "a");
  expect((await open(server, HERE, "b"))[0]).toBe(101);
  const surplus = await RawClient.connect(scene, server.upstream, HERE);
  surplus.send(upgrade("c"));
  const answer = await surplus.response();
  expect([answer.status, answer.field("retry-after")]).toEqual([429, "1"]);
  expect(answer.body.toString()).toContain("too many tunnels from this address");
  expect((await surplus.rest()).length).toBe(0);
  expect((await open(server, THERE, "c"))[0]).toBe(101);
  expect(await refused(server)).toBe(1);
  expect(await metric(server.admin, "piko_upstreams_busiest_client_connections")).toBe(2);
  await server.program.waitFor("limit reached");
  first.socket.destroy();
  await untilMetric(server.admin, "piko_upstreams_connected_upstreams", 2);
  expect((await open(server, HERE, "c"))[0]).toBe(101);
  expect(await metric(server.admin, "piko_upstreams_busiest_client_connections")).toBe(2);
});

it("counts connections that are not tunnels, until they end", async () => {
  const server = await startServer(scene, { "upstream.limits.max-tunnels-per-client": "2" });
  const silent = await RawClient.connect(scene, server.upstream, HERE);
  const half = await RawClient.connect(scene, server.upstream, HERE);
  half.send("GET /piko/v1/");
  await untilMetric(server.admin, "piko_upstreams_busiest_client_connections", 2);
  expect((await open(server, HERE, "a"))[0]).toBe(429);
  half.send("upstream HTTP/1.1\r\nHost: x\r\n\r\n");
  expect((await half.response()).status).toBe(404);
  for (const client of [silent, half]) client.socket.destroy();
  await untilMetric(server.admin, "piko_upstreams_busiest_client_connections", 0);
  expect((await open(server, HERE, "a"))[0]).toBe(101);
});

it("closes a silent connection beyond the share", async () => {
  const server = await startServer(scene, { "upstream.limits.max-tunnels-per-client": "1" });
  expect((await open(server, HERE, "a"))[0]).toBe(101);
  const silent = await RawClient.connect(scene, server.upstream, HERE);
  expect((await silent.rest()).length).toBe(0);
  await untilMetric(server.admin, "piko_upstreams_pending_connections", 0);
  expect((await open(server, HERE, "b"))[0]).toBe(429);
});

it("sets no limit for trusted proxies, which serve many agents, nor if the setting is 0", async () => {
  for (const flags of [
    { "proxy.trusted-proxies": HERE },
    { "upstream.limits.max-tunnels-per-client": "0" },
  ]) {
    const server = await startServer(scene, { "upstream.limits.max-tunnels-per-client": "1", ...flags });
    for (const endpoint of ["a", "b", "c"]) expect((await open(server, HERE, endpoint))[0]).toBe(101);
    expect(await metric(server.admin, "piko_upstreams_busiest_client_connections")).toBe(0);
    expect(await refused(server)).toBe(0);
  }
});

it("accepts a refused agent as soon as there is room", async () => {
  const server = await startServer(scene, { "upstream.limits.max-tunnels-per-client": "1" });
  const service = await Service.start(scene);
  const [, other] = await open(server, "127.0.0.1", "other");
  const agent = await startAgent(scene, server.upstream, "web", service.addr, { wait: false });
  await server.program.waitFor("upstream refused");
  other.socket.destroy();
  await agent.waitFor("connected");
  const response = await fetch(`http://${server.proxy}/item?i=1`, { headers: { "x-piko-endpoint": "web" } });
  expect(response.status).toBe(200);
});
