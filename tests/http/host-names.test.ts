// How a host names an endpoint: as it is spelled if such an endpoint exists, otherwise in lower case, because host names are
// case-insensitive and clients spell them in any case.

import { beforeAll, expect, it } from "vitest";
import { startCluster, untilEndpoints } from "../harness/cluster.js";
import { untilMetric } from "../harness/metrics.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { startCannedService } from "../harness/raw-service.js";
import { perFile, perTest } from "../harness/stage.js";
import { openTunnel } from "../harness/wire.js";

const stage = perFile();
const scene = perTest();
let first: RunningServer;
let second: RunningServer;

/** A service that answers with its endpoint's name. */
async function startNamed(scope: typeof stage, server: RunningServer, endpoint: string): Promise<void> {
  const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${endpoint.length}\r\n\r\n${endpoint}`;
  await startAgent(scope, server.upstream, endpoint, (await startCannedService(scope, answer, false)).addr);
}

/** The name of the service that a host leads to, or the status if there is none. */
async function ask(server: RunningServer, host: string, more = ""): Promise<string | number> {
  const client = await RawClient.connect(scene, server.proxy);
  client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`);
  const { status, body } = await client.response();
  return status === 200 ? body.toString() : status;
}

beforeAll(async () => {
  [first, second] = await startCluster(stage, ["a", "b"]);
  for (const endpoint of ["web", "Mixed", "both", "BOTH"]) await startNamed(stage, first, endpoint);
  await untilEndpoints(second, "a", 4);
});

it.each([
  ["web.test", "web"],
  ["WEB.test", "web"],
  ["Web.TEST:8000", "web"],
  ["Mixed.test", "Mixed"],
  ["mixed.test", 502],
  ["MIXED.test", 502],
  ["both.test", "both"],
  ["BOTH.test", "BOTH"],
  ["Both.test", "both"],
  ["NOBODY.test", 502],
])("%s leads to %s, on every node", async (host, name) => {
  expect(await ask(first, host)).toBe(name);
  expect(await ask(second, host)).toBe(name);
});

it("x-piko-endpoint is case-sensitive", async () => {
  expect(await ask(first, "x", "x-piko-endpoint: web\r\n")).toBe("web");
  expect(await ask(first, "web.test", "x-piko-endpoint: WEB\r\n")).toBe(502);
});

it("a request also waits for the endpoint in lower case if that has just lost its upstream", async () => {
  const server = await startServer(scene, { "proxy.reconnect-wait": "1m" });
  const tunnel = await openTunnel(scene, server.upstream, "late");
  tunnel.socket.destroy();
  await untilMetric(server.admin, "piko_upstreams_connected_upstreams", 0);
  const answer = ask(server, "LATE.test");
  await untilMetric(server.admin, "piko_upstreams_waiting_requests", 1);
  await startNamed(scene, server, "late");
  expect(await answer).toBe("late");
});
