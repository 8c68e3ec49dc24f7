// The admin port against hostile peers: nodes that answer with nonsense, crowds of silent connections, services that invent
// statuses. The node survives, and its probes are answered.

import { describe, expect, it } from "vitest";
import { MAX_ROUTE_CONNECTIONS } from "../../packages/piko/src/net/route-server.js";
import { startCluster } from "../harness/cluster.js";
import { metric, untilMetric } from "../harness/metrics.js";
import { startAgent, startServer } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { startCannedService, startRawService } from "../harness/raw-service.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();

describe("a node that forwards a request for another node's page", () => {
  it.each(["HTTP/1.1 099 X\r\n\r\n", "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"])(
    "survives if the other node answers %j",
    async (answer) => {
      const bad = await startCannedService(scene, answer);
      const [node] = await startCluster(scene, ["a"]);
      await startServer(scene, {
        "cluster.node-id": "b",
        "cluster.join": node.gossip,
        "admin.advertise-addr": bad.addr,
      });
      await untilMetric(node.admin, 'piko_cluster_nodes{status="active"}', 2);
      const response = await fetch(`http://${node.admin}/status/cluster/nodes?forward=b`);
      expect([response.status, await response.text()]).toEqual([502, '{"error":"upstream unreachable"}\n']);
      expect((await fetch(`http://${node.admin}/health`)).status).toBe(200);
      await node.program.waitFor("could not forward request");
    },
  );
});

describe("connections without a request", () => {
  it("make room for those with one", async () => {
    const server = await startServer(scene);
    const silent = await Promise.all(
      Array.from({ length: MAX_ROUTE_CONNECTIONS + 10 }, () => RawClient.connect(scene, server.admin)),
    );
    for (const client of silent.slice(-20)) client.send("GET /health HTTP/1.1\r\nHost:");
    expect((await fetch(`http://${server.admin}/health`)).status).toBe(200);
    expect(await metric(server.admin, 'piko_admin_limited_total{limit="max_connections"}')).toBeGreaterThan(
      10,
    );
    await server.program.waitFor("limit reached");
    // The oldest connection was closed first.
    expect((await silent[0]?.rest())?.length).toBe(0);
  });

  it("are closed after ten seconds", async () => {
    const server = await startServer(scene);
    const silent = await RawClient.connect(scene, server.admin);
    const half = await RawClient.connect(scene, server.admin);
    half.send("GET /health HTTP/1.1\r\nHost:");
    expect((await half.response()).status).toBe(408);
    expect((await silent.rest()).length).toBe(0);
    expect(await metric(server.admin, 'piko_admin_limited_total{limit="read_header_timeout"}')).toBe(2);
  });
});

describe("statuses invented by a service", () => {
  it("share the series of their class, at the node and at the agent", async () => {
    let next = 200;
    const service = await startRawService(scene, (socket) => {
      socket.on("data", () => {
        socket.write(`HTTP/1.1 ${next++} X\r\nContent-Length: 0\r\n\r\n`);
      });
    });
    const server = await startServer(scene);
    const flags = ["--server.enabled", "--server.bind-addr", "127.0.0.1:0"];
    const agent = await startAgent(scene, server.upstream, "web", service.addr, { flags });
    const { fields } = await agent.waitFor("serving metrics");
    const client = await RawClient.connect(scene, server.proxy);
    for (let count = 0; count < 400; count++) {
      client.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n");
      await client.response();
    }
    for (const [admin, name, endpoint] of [
      [server.admin, "piko_proxy_requests_total", ""],
      [String(fields["addr"]), "piko_agent_requests_total", ',endpoint="web"'],
    ] as const) {
      const text = await (await fetch(`http://${admin}/metrics`)).text();
      expect(text.match(new RegExp(`^${name}\\{`, "gm"))?.length).toBeLessThan(70);
      expect(text).toContain(`${name}{status="404",method="GET"${endpoint}} 1\n`);
      expect(text).toContain(`${name}{status="2xx",method="GET"${endpoint}} 90\n`);
    }
  });
});
