// Names that a program could misinterpret: ids of endpoints and nodes that have a meaning in JavaScript, and ids that a
// terminal would show as something else.

import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { adminJson, startCluster, untilEndpoints } from "../harness/cluster.js";
import { untilMetric } from "../harness/metrics.js";
import { runPiko, startAgent, startServer } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();
const UPGRADE =
  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n";
const HIDDEN = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/u;

describe("endpoints named like built-in properties of JavaScript objects", () => {
  it("are served, and listed like others", async () => {
    const [a, b] = await startCluster(scene, ["a", "b"]);
    const service = await Service.start(scene);
    const names = ["__proto__", "constructor", "toString"];
    for (const name of names) await startAgent(scene, b.upstream, name, service.addr);
    await untilEndpoints(a, "b", names.length);
    for (const name of names) {
      const url = `http://${a.proxy}/item?i=1`;
      expect((await fetch(url, { headers: { "x-piko-endpoint": name } })).status).toBe(200);
    }
    const counts = await (await fetch(`http://${b.admin}/status/upstream/endpoints`)).text();
    for (const name of names) expect(counts).toContain(`"${name}":1`);
    const url = ["--server.url", `http://${b.admin}`];
    for (const output of ["yaml", "json", "table"]) {
      const shown = [
        await runPiko("server", "status", "upstream", "endpoints", "--output", output, ...url),
        await runPiko("server", "status", "cluster", "node", "b", "--output", output, ...url),
      ];
      for (const { stdout } of shown) for (const name of names) expect(stdout).toContain(name);
    }
  });
});

describe("an endpoint id with invisible or misleading characters", () => {
  it("is refused", async () => {
    const server = await startServer(scene);
    const ids = [
      "a\u202eb",
      "\u200b",
      "a\u2028b",
      "a\u2029",
      "a\u00adb",
      "\ufeff",
      "a\u0000",
      "\u001b[31m",
      "\u009b",
    ];
    for (const id of ids) {
      const agent = await RawClient.connect(scene, server.upstream);
      agent.send(`GET /piko/v1/upstream/${encodeURIComponent(id)} HTTP/1.1\r\nHost: h\r\n${UPGRADE}\r\n`);
      const { body, status } = await agent.response();
      expect([status, body.toString()]).toEqual([400, expect.stringContaining("invalid endpoint id")]);
    }
  });

  it("doesn't include letters and symbols of any language, which are accepted", async () => {
    const server = await startServer(scene);
    const service = await Service.start(scene);
    for (const id of ["größe", "名前", "😀"]) await startAgent(scene, server.upstream, id, service.addr);
    expect(Object.keys(await adminJson(server, "/status/upstream/endpoints"))).toHaveLength(3);
  });
});

describe("a node id with invisible or misleading characters", () => {
  it("is escaped in other nodes' logs, and wherever it is listed", async () => {
    const id = "b\u202e\u2028\u001b[2J";
    const [a] = await startCluster(scene, ["a"]);
    await startServer(scene, { "cluster.node-id": id, "cluster.join": a.gossip });
    await untilMetric(a.admin, 'piko_cluster_nodes{status="active"}', 2);
    const { text } = await a.program.waitForLine(({ fields }) => fields["node-id"] === id, "the new node");
    expect(text).not.toMatch(HIDDEN);
    expect(text).toContain("\\u202e\\u2028\\u001b[2J");
    const page = await (await fetch(`http://${a.admin}/status/cluster/nodes`)).text();
    expect(page).not.toMatch(HIDDEN);
    expect(JSON.parse(page)).toMatchObject([{ id: "a" }, { id }]);
    for (const output of ["yaml", "json", "table"]) {
      const args = ["--output", output, "--server.url", `http://${a.admin}`];
      const { code, stdout } = await runPiko("server", "status", "cluster", "nodes", ...args);
      expect(code).toBe(0);
      expect(stdout).not.toMatch(HIDDEN);
      if (output !== "table") expect(parse(stdout)).toMatchObject({ nodes: [{ id: "a" }, { id }] });
    }
  });
});
