// Clients and agents that stall or vanish: how long they are waited for, and which metric counts them.

import { describe, expect, it } from "vitest";
import { metric, untilMetric } from "../harness/metrics.js";
import { startAgent, startServer } from "../harness/piko.js";
import { NetworkNamespace } from "../harness/network-namespace.js";
import { startProgram } from "../harness/program.js";
import { RawClient } from "../harness/raw-client.js";
import { startEchoService } from "../harness/raw-service.js";
import { haveTools, run } from "../harness/tools.js";
import { openTunnel } from "../harness/wire.js";
import { ask, errorOf, GET, HOST, limited, limitRig, refusedTunnels, UPGRADE } from "./limit-rig.js";

const rig = limitRig();

describe("peers that stop", () => {
  it("in a head or a body get 408, and those that read nothing are cut off", async () => {
    const server = await rig.start({
      // Also limits the time from each connection to its first bytes.
      "proxy.http.read-header-timeout": "1500ms",
      "proxy.http.read-timeout": "1500ms",
      "proxy.http.write-timeout": "1500ms",
      "proxy.http.idle-timeout": "1500ms",
    });
    const head = await rig.connect(server);
    head.send("GET / HTTP/1.1\r\nHost:");
    const body = await rig.connect(server);
    body.send(`POST /sum?half HTTP/1.1\r\n${HOST}Content-Length: 1000\r\n\r\nhalf`);
    const chunked = await rig.connect(server);
    chunked.send(`POST /sum?half HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n5\r\nhal`);
    const reader = await rig.connect(server);
    reader.socket.pause();
    reader.send(`GET /bytes?n=1000000000&limits HTTP/1.1\r\n${HOST}\r\n`);
    const idle = await rig.connect(server);
    expect((await ask(idle, GET)).status).toBe(200);
    const silent = await rig.connect(server);

    for (const client of [head, body, chunked]) {
      expect(errorOf(await client.response())).toEqual([408, "request timeout", undefined]);
      await client.rest();
    }
    for (const client of [idle, silent]) expect((await client.rest()).length).toBe(0);
    await (await rig.service.request("/bytes?n=1000000000&limits")).aborted;
    await untilMetric(server.admin, "piko_proxy_connections", 0);
    expect(await limited(server, "read_header_timeout")).toBe(1);
    expect(await limited(server, "read_timeout")).toBe(2);
    expect(await limited(server, "write_timeout")).toBe(1);
  });

  it("don't keep a slow but steady peer from its answer", async () => {
    const server = await rig.start({ "proxy.http.read-timeout": "1500ms" });
    const client = await rig.connect(server);
    client.send(`POST /sum HTTP/1.1\r\n${HOST}Content-Length: 8\r\n\r\n`);
    for (let i = 0; i < 8; i++) {
      // In total longer than the timeout, which applies to each pause.
      await new Promise((resolve) => setTimeout(resolve, 250));
      client.send("x");
    }
    expect((await client.response("POST")).status).toBe(200);
  });

  it("and stay silent are probed by TCP keep-alive", async () => {
    if (!haveTools("ss")) return;
    const server = await startServer(rig.scene, { "proxy.http.tcp-keep-alive": "30s" });
    await rig.connect(server);
    await openTunnel(rig.scene, server.upstream, "web");
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

  it("and vanish from the network are detected, whatever they were doing", async () => {
    const network = await NetworkNamespace.create(rig.scene);
    if (network === undefined) return;
    const server = await startServer(rig.scene, {
      "proxy.bind-addr": `${network.host}:0`,
      "proxy.http.tcp-keep-alive": "1s",
    });
    await startAgent(rig.scene, server.upstream, "web", rig.service.addr);
    const echo = await startEchoService(rig.scene);
    await startAgent(rig.scene, server.upstream, "echo", echo.addr, { mode: "tcp" });
    const requests = [
      GET,
      `GET /hang?head&vanish HTTP/1.1\r\n${HOST}\r\n`,
      `GET /_piko/v1/tcp/echo HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`,
    ];
    const [host = "", port = ""] = server.proxy.split(":");
    const script = `for (const text of ${JSON.stringify(requests)})
      require("node:net").connect(${port}, "${host}").on("error", () => {}).write(text);`;
    startProgram(rig.scene, "client", ...network.command(process.execPath, ["-e", script]));
    await untilMetric(server.admin, "piko_proxy_connections", 3);
    const { aborted } = await rig.service.request("/hang?head&vanish");
    await untilMetric(server.admin, "piko_upstreams_open_streams", 2);
    await network.silence();
    await aborted;
    await untilMetric(server.admin, "piko_proxy_connections", 0);
    expect(await metric(server.admin, "piko_upstreams_open_streams")).toBe(0);
  });
});

describe("agents that stop", () => {
  it("in their upgrade request get 408, and those that send nothing are closed", async () => {
    const server = await startServer(rig.scene, { "upstream.limits.read-header-timeout": "1s" });
    const silent = await RawClient.connect(rig.scene, server.upstream);
    const slow = await RawClient.connect(rig.scene, server.upstream);
    slow.send("GET /piko/v1/upstream/web HTTP/1.1\r\nHost:");
    expect(errorOf(await slow.response())).toEqual([408, "request timeout", undefined]);
    expect((await silent.rest()).length).toBe(0);
    expect(await refusedTunnels(server, "read_header_timeout")).toBe(2);
    await untilMetric(server.admin, "piko_upstreams_pending_connections", 0);
  });

  it("answering pings lose their tunnel, and those that answer keep it", async () => {
    const server = await rig.start({
      "upstream.limits.ping-interval": "1600ms",
      "upstream.limits.ping-timeout": "1500ms",
    });
    // Taken before the tunnel opens: a busy machine can make the time longer, never shorter.
    const asked = performance.now();
    const silent = await openTunnel(rig.scene, server.upstream, "silent");
    await silent.rest();
    expect(performance.now() - asked).toBeGreaterThan(3_000);
    await untilMetric(server.admin, "piko_upstreams_connected_upstreams", 1);
    expect(await refusedTunnels(server, "ping_timeout")).toBe(1);
    expect((await rig.askOnce(server, GET)).status).toBe(200);
  });
});
