// The admin port of real nodes: probes, metrics and status pages in the formats that tools for Go Piko read, for the node
// itself and, with ?forward=, for another one.

import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { adminJson, startCluster, untilEndpoints } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { runPiko, type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perFile, perTest } from "../harness/stage.js";
import type { ToolResult } from "../harness/tools.js";

const stage = perFile();
const scene = perTest();

/** The metrics that a Go node exposes, apart from go_*. */
const METRICS = [
  "piko_proxy_requests_in_flight",
  "piko_proxy_requests_total",
  "piko_proxy_request_latency_seconds",
  "piko_proxy_request_size_bytes",
  "piko_proxy_response_size_bytes",
  "piko_upstreams_connected_upstreams",
  "piko_upstreams_registered_endpoints",
  "piko_upstreams_upstream_requests_total",
  "piko_upstreams_remote_requests_total",
  "piko_cluster_nodes",
  "piko_gossip_connections_inbound_total",
  "piko_gossip_connections_outbound_total",
  "piko_gossip_stream_bytes_inbound_total",
  "piko_gossip_stream_bytes_outbound_total",
  "piko_gossip_packet_bytes_inbound_total",
  "piko_gossip_packet_bytes_outbound_total",
  "piko_gossip_digest_entries_inbound_total",
  "piko_gossip_digest_entries_outbound_total",
  "piko_gossip_delta_entries_inbound_total",
  "piko_gossip_delta_entries_outbound_total",
  "piko_gossip_entries",
];

async function ask(
  server: RunningServer,
  path: string,
  init: RequestInit = {},
): Promise<[number, string, string]> {
  const response = await fetch(`http://${server.admin}${path}`, { redirect: "manual", ...init });
  return [response.status, response.headers.get("content-type") ?? "", await response.text()];
}

describe("a node in a cluster of three", () => {
  let a: RunningServer;
  let b: RunningServer;

  beforeAll(async () => {
    // Not in alphabetical order.
    const nodes = await startCluster(stage, ["b", "c", "a"]);
    [b, , a] = nodes;
    const service = await Service.start(stage);
    await startAgent(stage, b.upstream, "web", service.addr);
    await startAgent(stage, b.upstream, "web", service.addr);
    await startAgent(stage, b.upstream, "other", service.addr);
    for (const node of nodes) await untilEndpoints(node, "b", 2);
    await eventually(
      async () => (await ask(a, "/status/cluster/nodes/b"))[2].includes('"web":2'),
      "the second listener",
    );
  });

  it("answers probes without a body", async () => {
    for (const path of ["/health", "/ready"]) {
      expect(await ask(a, path)).toEqual([200, "", ""]);
      expect(await ask(a, path, { method: "HEAD" })).toEqual([200, "", ""]);
    }
  });

  it("lists its pages, all of which exist", async () => {
    const [status, type, text] = await ask(a, "/");
    expect([status, type]).toEqual([200, "text/plain; charset=utf-8"]);
    const pages = [...text.matchAll(/^ {2}(\/\S+)/gm)].map(([, page = ""]) => page.replace("ID", "a"));
    expect(pages).toHaveLength(9);
    for (const page of pages) expect([page, (await ask(a, page))[0]]).toEqual([page, 200]);
  });

  it("shows what listens on it", async () => {
    const json = "application/json; charset=utf-8";
    expect(await ask(b, "/status/upstream/endpoints")).toEqual([200, json, '{"web":2,"other":1}']);
    expect(await ask(a, "/status/upstream/endpoints")).toEqual([200, json, "{}"]);
  });

  it("lists the nodes, sorted", async () => {
    const nodes = await adminJson<Record<string, unknown>[]>(a, "/status/cluster/nodes");
    expect(nodes.map(({ id }) => id)).toEqual(["a", "b", "c"]);
    expect(Object.entries(nodes[1] ?? {})).toEqual([
      ["id", "b"],
      ["status", "active"],
      ["proxy_addr", b.proxy],
      ["admin_addr", b.admin],
      ["endpoints", 2],
      ["upstreams", 3],
      ["version", expect.any(String)],
      ["started", expect.any(String)],
    ]);
    expect(nodes[0]).toMatchObject({ endpoints: 0, upstreams: 0 });
  });

  it("shows one node, with null for no endpoints", async () => {
    const [, , text] = await ask(a, "/status/cluster/nodes/local");
    const addresses = `"status":"active","proxy_addr":"${a.proxy}","admin_addr":"${a.admin}"`;
    const since = /,"version":"[\d.]+","started":"[^"]+"(?=\}$)/;
    expect(text).toMatch(since);
    expect(text.replace(since, "")).toBe(`{"id":"a",${addresses},"endpoints":null}`);
    expect((await ask(a, "/status/cluster/nodes/a"))[2]).toBe(text);
    expect(await adminJson(a, "/status/cluster/nodes/b")).toMatchObject({ endpoints: { web: 2, other: 1 } });
  });

  it("lists the nodes known by gossip, sorted", async () => {
    const nodes = await adminJson<Record<string, unknown>[]>(a, "/status/gossip/nodes");
    expect(nodes.map(({ id }) => id)).toEqual(["a", "b", "c"]);
    expect(Object.entries(nodes[1] ?? {})).toEqual([
      ["id", "b"],
      ["addr", b.gossip],
      ["version", expect.any(Number)],
      ["left", false],
      ["unreachable", false],
      ["expiry", "0001-01-01T00:00:00Z"],
    ]);
  });

  it("shows the entries that gossip knows of one node, in ascending order of version", async () => {
    const node = await adminJson<Record<string, unknown>>(a, "/status/gossip/nodes/b");
    expect(Object.keys(node)).toEqual(["id", "addr", "version", "left", "unreachable", "expiry", "Entries"]);
    const entries = node["Entries"] as { key: string; version: number; internal: boolean }[];
    const versions = entries.map(({ version }) => version);
    expect(versions).toEqual([...versions].sort((one, other) => one - other));
    const shared = entries.filter(({ internal }) => !internal);
    const keys = ["proxy_addr", "admin_addr", "endpoint:web", "endpoint:other"];
    expect(shared.map(({ key }) => key).sort()).toEqual(keys.sort());
    expect(Object.entries(shared[0] ?? {})).toEqual([
      ["key", "proxy_addr"],
      ["value", b.proxy],
      ["version", expect.any(Number)],
      ["internal", false],
      ["deleted", false],
    ]);
  });

  it.each([
    ["/status/cluster/nodes/nobody", 404, ""],
    ["/status/gossip/nodes/nobody", 404, ""],
    ["/status/gossip/nodes/local", 404, ""],
    ["/status/cluster", 404, "404 page not found"],
    ["/debug/pprof/", 404, "404 page not found"],
    ["/metrics/", 301, ""],
    ["/status/cluster/nodes/", 301, ""],
  ])("answers %s with %i", async (path, status, body) => {
    const [is, , text] = await ask(a, path);
    expect([is, text]).toEqual([status, body]);
  });

  it("accepts only GET and HEAD", async () => {
    expect((await ask(a, "/status/cluster/nodes", { method: "POST", body: "x" }))[0]).toBe(405);
    expect((await ask(a, "/health?forward=b", { method: "DELETE" }))[0]).toBe(405);
  });

  it("has the metrics of Go Piko", async () => {
    await fetch(`http://${a.proxy}/item?i=1`, { headers: { "x-piko-endpoint": "web" } });
    const [status, type, text] = await ask(a, "/metrics");
    expect([status, type]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
    const typed = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
    expect(METRICS.filter((name) => !typed.has(name))).toEqual([]);
    expect(text).toContain('piko_cluster_nodes{status="active"} 3\n');
    expect(text).toContain('piko_upstreams_remote_requests_total{node_id="b"} 1\n');
    expect(text).toContain('piko_proxy_requests_total{status="200",method="GET"} 1\n');
    expect(text).toContain('piko_gossip_entries{node_id="b",deleted="false",internal="false"} 4\n');
  });

  it("forwards requests for another node", async () => {
    expect((await ask(a, "/status/upstream/endpoints?forward=b"))[2]).toBe('{"web":2,"other":1}');
    expect(await adminJson(a, "/status/cluster/nodes/local?forward=c")).toMatchObject({ id: "c" });
    expect((await ask(a, "/ready?forward=b"))[0]).toBe(200);
    expect((await ask(a, "/metrics?forward=b"))[2]).toContain("piko_upstreams_connected_upstreams 3\n");
    expect(await ask(a, "/nothing?forward=b")).toEqual([404, "text/plain", "404 page not found"]);
    expect((await ask(a, "/status/cluster/nodes?forward=nobody")).slice(0, 3)).toEqual([404, "", ""]);
  });

  it("provides what piko server status shows", async () => {
    const status = (...args: readonly string[]): Promise<ToolResult> =>
      runPiko("server", "status", ...args, "--server.url", `http://${a.admin}`);
    const [active, endpoints, local, gossip, details, unknown, table] = await Promise.all([
      status("cluster", "nodes", "--status", "active"),
      status("upstream", "endpoints", "--forward", "b"),
      status("cluster", "node", "local"),
      status("gossip", "nodes", "--output", "json"),
      status("gossip", "node", "c"),
      status("cluster", "node", "nobody", "--forward", "c/d"),
      status("cluster", "nodes", "--output", "table"),
    ]);
    expect(parse(active.stdout)).toMatchObject({
      nodes: [{ id: "a" }, { id: "b", upstreams: 3 }, { id: "c" }],
    });
    expect(endpoints).toEqual({ code: 0, stdout: "other: 1\nweb: 2\n", stderr: "" });
    expect(parse(local.stdout)).toMatchObject({ id: "a", endpoints: {} });
    expect(JSON.parse(gossip.stdout)).toMatchObject({ nodes: [{ id: "a" }, { id: "b" }, { id: "c" }] });
    expect(parse(details.stdout)).toMatchObject({ nodemetadata: { id: "c" }, entries: expect.any(Array) });
    const message = `cluster node nobody: http://${a.admin}: no node nobody or c/d\n`;
    expect(unknown).toEqual({ code: 1, stdout: "", stderr: message });
    expect(table.stdout).toMatch(/^ID +STATUS/);
  });
});

describe("a node that is gone", () => {
  it("is shown with the time when it will be forgotten, and requests for it get a 502", async () => {
    const [a, b] = await startCluster(scene, ["a", "b"]);
    await b.program.kill();
    await eventually(
      async () =>
        (await adminJson<{ status: string }>(a, "/status/cluster/nodes/b")).status === "unreachable",
      "the end of b",
    );
    const nodes = await adminJson<{ unreachable: boolean; expiry: string }[]>(a, "/status/gossip/nodes");
    expect(nodes[1]).toMatchObject({ id: "b", unreachable: true, left: false });
    const expiresInMs = Date.parse(nodes[1]?.expiry ?? "") - Date.now();
    expect(expiresInMs).toBeGreaterThan(0);
    expect(expiresInMs).toBeLessThanOrEqual(60_000);
    expect(await ask(a, "/health?forward=b")).toEqual([
      502,
      "application/json",
      '{"error":"upstream unreachable"}\n',
    ]);
  });
});

describe("a node that hasn't found its cluster yet", () => {
  it("is healthy but not ready", async () => {
    const alone = await startServer(scene, {
      "cluster.join": "127.0.0.1:1",
      "cluster.abort-if-join-fails": "false",
    });
    expect((await ask(alone, "/health"))[0]).toBe(200);
    expect(await ask(alone, "/ready")).toEqual([503, "", ""]);
  });
});
