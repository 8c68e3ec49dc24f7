// What nodes and agents count about tunnels and requests, and in which form scrapers get it.

import { gunzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { asking } from "../harness/asking.js";
import { metric, untilMetric } from "../harness/metrics.js";
import { startAgent, startServer } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();
const { ask, untilStatus } = asking(scene);

it("the metrics count opened and closed tunnels, waits for them, and agents that returned", async () => {
  const service = await Service.start(scene);
  const server = await startServer(scene, { "proxy.reconnect-wait": "30s" });
  const flags = ["--connect.tunnels", "1", "--server.enabled", "--server.bind-addr", "127.0.0.1:0"];
  const agent = await startAgent(scene, server.upstream, "web", service.addr, { flags });
  const addr = String((await agent.waitFor("serving metrics")).fields["addr"]);
  expect((await ask(server.proxy)).status).toBe(200);
  expect(await metric(server.admin, "piko_upstreams_opened_total")).toBe(1);
  expect(await metric(addr, 'piko_agent_connected{endpoint="web"}')).toBe(1);
  expect(await metric(addr, 'piko_agent_tunnels_opened_total{endpoint="web"}')).toBe(1);
  expect(await metric(addr, 'piko_agent_reconnects_total{endpoint="web"}')).toBe(0);
  for (const [at, series] of [
    [server.admin, "piko_proxy_upstream_latency_seconds_count"],
    [addr, 'piko_agent_upstream_latency_seconds_count{endpoint="web"}'],
  ] as const) {
    expect(await metric(at, series)).toBe(1);
  }

  // The kernel ends the connection.
  await agent.kill();
  await untilMetric(server.admin, 'piko_upstreams_closed_total{reason="eof"}', 1);
  const waiting = ask(server.proxy);
  await untilMetric(server.admin, "piko_upstreams_waiting_requests", 1);
  const another = await startAgent(scene, server.upstream, "web", service.addr, { flags });
  expect((await waiting).status).toBe(200);
  expect(await metric(server.admin, 'piko_upstreams_waits_total{result="found"}')).toBe(1);
  expect(await metric(server.admin, "piko_upstreams_opened_total")).toBe(2);
  await another.stop();
  await untilMetric(server.admin, 'piko_upstreams_closed_total{reason="closed"}', 1);
});

it("the metrics show an agent that has to reconnect", async () => {
  const service = await Service.start(scene);
  const server = await startServer(scene);
  const flags = ["--connect.tunnels", "1", "--server.enabled", "--server.bind-addr", "127.0.0.1:0"];
  const agent = await startAgent(scene, server.upstream, "web", service.addr, { flags });
  const addr = String((await agent.waitFor("serving metrics")).fields["addr"]);
  await server.program.kill();
  await untilMetric(addr, 'piko_agent_connected{endpoint="web"}', 0);
  await startServer(scene, { "upstream.bind-addr": server.upstream, "proxy.bind-addr": server.proxy });
  await untilStatus(server.proxy, 200);
  expect(await metric(addr, 'piko_agent_tunnels_opened_total{endpoint="web"}')).toBe(2);
  expect(await metric(addr, 'piko_agent_reconnects_total{endpoint="web"}')).toBeGreaterThan(0);
});

it("the metrics have series per endpoint, if enabled, up to a maximum number", async () => {
  const service = await Service.start(scene);
  const server = await startServer(scene, { "proxy.endpoint-metrics": "1", "proxy.reconnect-wait": "0" });
  for (const endpoint of ["web", "more"]) await startAgent(scene, server.upstream, endpoint, service.addr);
  for (const host of ["nobody", "web", "more"]) {
    await fetch(`http://${server.proxy}/item`, { headers: { "x-piko-endpoint": host } });
  }
  const of = (series: string): Promise<number | undefined> => metric(server.admin, `piko_endpoint_${series}`);
  expect(await of('requests_total{endpoint="web",status="2xx"}')).toBe(1);
  expect(await of('requests_total{endpoint="other",status="2xx"}')).toBe(1);
  expect(await of('failed_requests_total{endpoint="other"}')).toBe(1);
  expect(await of('request_latency_seconds_count{endpoint="web"}')).toBe(1);
  expect(await of('requests_total{endpoint="nobody",status="5xx"}')).toBeUndefined();
});

it("the metrics include the program's version, and are compressed for scrapers that accept it", async () => {
  const server = await startServer(scene, { "cluster.node-id": "n1" });
  const read = async (fields: string) => {
    const client = await RawClient.connect(scene, server.admin);
    client.send(`GET /metrics HTTP/1.1\r\nHost: x\r\n${fields}Connection: close\r\n\r\n`);
    return client.response();
  };
  const plain = await read("");
  expect(plain.field("content-encoding")).toBeUndefined();
  expect(plain.body.toString()).toMatch(/^piko_build_info\{version="\d+\.\d+\.\d+",node_id="n1"\} 1$/m);
  const packed = await read("Accept-Encoding: deflate, gzip;q=0.5\r\n");
  expect(packed.field("content-encoding")).toBe("gzip");
  expect(packed.body.length).toBeLessThan(plain.body.length / 4);
  expect(gunzipSync(packed.body).toString()).toContain("\npiko_proxy_requests_in_flight 0\n");
  const refusing = await read("Accept-Encoding: gzip;q=0\r\n");
  expect(refusing.field("content-encoding")).toBeUndefined();
});
