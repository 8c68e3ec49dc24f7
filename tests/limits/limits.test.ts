// How much of each thing a server accepts at a time: the response beyond the limit, the metric, and that everyone else is
// still served.

import { describe, expect, it } from "vitest";
import { metric, untilMetric } from "../harness/metrics.js";
import { startAgent, startServer } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { startEchoService } from "../harness/raw-service.js";
import { openTunnel } from "../harness/wire.js";
import { ask, errorOf, GET, HOST, limited, limitRig, refusedTunnels, UPGRADE } from "./limit-rig.js";

const rig = limitRig();

describe("client connections", () => {
  it("beyond the limit get 503, and those within it are still served", async () => {
    const server = await rig.start({ "proxy.limits.max-connections": "2" });
    const [first, second] = [await rig.connect(server), await rig.connect(server)];
    await untilMetric(server.admin, "piko_proxy_connections", 2);
    const third = await rig.connect(server);
    expect(errorOf(await ask(third, GET))).toEqual([503, "too many connections", "1"]);
    expect((await third.rest()).length).toBe(0);
    expect((await ask(first, GET)).status).toBe(200);
    expect(await limited(server, "max_connections")).toBe(1);
    await server.program.waitFor("limit reached");
    second.socket.destroy();
    await untilMetric(server.admin, "piko_proxy_connections", 1);
    expect((await rig.askOnce(server, GET)).status).toBe(200);
  });

  it("beyond the limit that send nothing are closed", async () => {
    const server = await startServer(rig.scene, { "proxy.limits.max-connections": "1" });
    await rig.connect(server);
    await untilMetric(server.admin, "piko_proxy_connections", 1);
    expect((await (await rig.connect(server)).rest()).length).toBe(0);
  });

  it("of one address beyond its limit get 429, and other addresses don't", async () => {
    const server = await rig.start({
      "proxy.limits.max-connections-per-client": "2",
      "proxy.proxy-protocol": "optional",
    });
    const from = async (address: string): Promise<number> => {
      const family = address.includes(":") ? "TCP6" : "TCP4";
      return (await rig.askOnce(server, `PROXY ${family} ${address} ${address} 1 2\r\n${GET}`)).status;
    };
    // The connections stay open and keep counting.
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

  it("of one address are accepted again when others have ended, and a trusted proxy has no such limit", async () => {
    const one = { "proxy.limits.max-connections-per-client": "1" };
    const server = await rig.start(one);
    const first = await rig.connect(server);
    await untilMetric(server.admin, "piko_proxy_busiest_client_connections", 1);
    const refused = await rig.askOnce(server, GET);
    expect(errorOf(refused)).toEqual([429, "too many connections from this address", "1"]);
    first.socket.destroy();
    await untilMetric(server.admin, "piko_proxy_busiest_client_connections", 0);
    expect((await rig.askOnce(server, GET)).status).toBe(200);

    const trusting = await rig.start({ ...one, "proxy.trusted-proxies": "127.0.0.0/8" });
    for (let i = 0; i < 3; i++) expect((await rig.askOnce(trusting, GET)).status).toBe(200);
  });
});

describe("requests in progress", () => {
  it("for one endpoint beyond the limit get 503, and those for others don't", async () => {
    const server = await rig.start({ "proxy.limits.max-requests-per-endpoint": "2" });
    await startAgent(rig.scene, server.upstream, "other", rig.service.addr);
    const first = await rig.hang(server, "a");
    await rig.hang(server, "b");
    const client = await rig.connect(server);
    const busy = [503, "too many requests in flight for this endpoint", "1"];
    expect(errorOf(await ask(client, GET))).toEqual(busy);
    expect(await metric(server.admin, "piko_upstreams_busiest_endpoint_requests")).toBe(2);
    expect(
      errorOf(await rig.askOnce(server, `GET /_piko/v1/tcp/web HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`)),
    ).toEqual(busy);
    expect((await ask(client, GET.replace("web", "other"))).status).toBe(200);
    expect(await limited(server, "max_requests_per_endpoint")).toBe(2);
    first.socket.destroy();
    await untilMetric(server.admin, "piko_upstreams_busiest_endpoint_requests", 1);
    expect((await ask(client, GET)).status).toBe(200);
  });

  it("count TCP and upgraded connections until they end", async () => {
    const server = await startServer(rig.scene, { "proxy.limits.max-requests-per-endpoint": "1" });
    const echo = await startEchoService(rig.scene);
    await startAgent(rig.scene, server.upstream, "web", echo.addr, { mode: "tcp" });
    const dial = `GET /_piko/v1/tcp/web HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`;
    const first = await rig.connect(server);
    expect((await ask(first, dial)).status).toBe(101);
    expect((await rig.askOnce(server, dial)).status).toBe(503);
    first.socket.destroy();
    await untilMetric(server.admin, "piko_upstreams_busiest_endpoint_requests", 0);
    expect((await rig.askOnce(server, dial)).status).toBe(101);
  });

  it("skip a full tunnel, and get 503 when all are full", async () => {
    const server = await rig.start({ "upstream.limits.max-streams-per-tunnel": "1" });
    await startAgent(rig.scene, server.upstream, "web", rig.service.addr);
    const first = await rig.hang(server, "c");
    await rig.hang(server, "d");
    expect(await metric(server.admin, "piko_upstreams_busiest_tunnel_streams")).toBe(1);
    expect(await metric(server.admin, "piko_upstreams_open_streams")).toBe(2);
    const client = await rig.connect(server);
    expect(errorOf(await ask(client, GET))).toEqual([503, "all upstreams are busy", "1"]);
    const dial = `GET /_piko/v1/tcp/web HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`;
    expect((await rig.askOnce(server, dial)).status).toBe(503);
    expect(await refusedTunnels(server, "max_streams_per_tunnel")).toBe(2);
    first.socket.destroy();
    await untilMetric(server.admin, "piko_upstreams_open_streams", 1);
    expect((await ask(client, GET)).status).toBe(200);
  });

  it("that wait for an endpoint to return get 503 beyond the limit", async () => {
    const flags = { "proxy.limits.max-waiting-requests": "1", "proxy.reconnect-wait": "1m" };
    const server = await startServer(rig.scene, flags);
    const tunnel = await openTunnel(rig.scene, server.upstream, "web");
    tunnel.socket.destroy();
    await untilMetric(server.admin, "piko_upstreams_connected_upstreams", 0);
    const waiting = await rig.connect(server);
    waiting.send(GET);
    await untilMetric(server.admin, "piko_upstreams_waiting_requests", 1);
    const refused = await rig.askOnce(server, GET);
    expect(errorOf(refused)).toEqual([503, "too many requests wait for an upstream", "1"]);
    expect(await limited(server, "max_waiting_requests")).toBe(1);
    await startAgent(rig.scene, server.upstream, "web", rig.service.addr);
    expect((await waiting.response()).status).toBe(200);
  });
});

describe("tunnels", () => {
  const upgrade = (endpoint: string): string =>
    `GET /piko/v1/upstream/${endpoint} HTTP/1.1\r\nHost: x\r\n${UPGRADE}\r\n`;

  it("beyond the limits of the node and of an endpoint get 503, and agents try again", async () => {
    const server = await startServer(rig.scene, {
      "upstream.limits.max-tunnels": "2",
      "upstream.limits.max-tunnels-per-endpoint": "1",
    });
    const first = await openTunnel(rig.scene, server.upstream, "web");
    const same = await RawClient.connect(rig.scene, server.upstream);
    expect(errorOf(await ask(same, upgrade("web")))).toEqual([
      503,
      "too many tunnels (max_tunnels_per_endpoint)",
      "1",
    ]);
    await openTunnel(rig.scene, server.upstream, "other");
    const third = await RawClient.connect(rig.scene, server.upstream);
    expect(errorOf(await ask(third, upgrade("third")))).toEqual([503, "too many tunnels (max_tunnels)", "1"]);
    expect(await refusedTunnels(server, "max_tunnels")).toBe(1);
    expect(await refusedTunnels(server, "max_tunnels_per_endpoint")).toBe(1);

    const agent = await startAgent(rig.scene, server.upstream, "web", rig.service.addr, { wait: false });
    await agent.waitForLine(({ text }) => text.includes("503"), "refusal");
    first.socket.destroy();
    await agent.waitFor("connected");
    expect((await rig.askOnce(server, GET)).status).toBe(200);
  });

  it("that are still pending are closed beyond the limit", async () => {
    const server = await startServer(rig.scene, { "upstream.limits.max-pending-connections": "2" });
    const pending = [
      await RawClient.connect(rig.scene, server.upstream),
      await RawClient.connect(rig.scene, server.upstream),
    ];
    await untilMetric(server.admin, "piko_upstreams_pending_connections", 2);
    expect((await (await RawClient.connect(rig.scene, server.upstream)).rest()).length).toBe(0);
    expect(await refusedTunnels(server, "max_pending_connections")).toBe(1);
    for (const client of pending) client.socket.destroy();
    await untilMetric(server.admin, "piko_upstreams_pending_connections", 0);
    await openTunnel(rig.scene, server.upstream, "web");
  });
});
