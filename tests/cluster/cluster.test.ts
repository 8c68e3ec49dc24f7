// Several nodes: requests find their endpoint from any node, and still succeed when a node stops or fails.

import { createHash } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { PatternChecker, PatternSource } from "@piko/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import {
  activeNodes,
  adminJson,
  launchServer,
  type ListedNode,
  startBalancer,
  startCluster,
  untilEndpoints,
} from "../harness/cluster.js";
import { eventually, within } from "../harness/deadline.js";
import { ask, keepAsking } from "../harness/load.js";
import { metric } from "../harness/metrics.js";
import { type RunningServer, startAgent, startForward, startServer } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { startEchoService, startRawService } from "../harness/raw-service.js";
import { Service } from "../harness/service.js";
import { perFile, perTest } from "../harness/stage.js";

const stage = perFile();
const scene = perTest();

describe("three nodes", () => {
  let nodes: [RunningServer, RunningServer, RunningServer];
  let service: Service;

  beforeAll(async () => {
    service = await Service.start(stage);
    nodes = await startCluster(stage, ["a", "b", "c"]);
    await startAgent(stage, nodes[1].upstream, "web", service.addr);
    for (const node of nodes) await untilEndpoints(node, "b", 1);
  });

  it("all serve requests for an endpoint that one of them has", async () => {
    for (const node of nodes) {
      const response = await ask(node, "web", "/item?i=7");
      expect([response.status, await response.text()]).toEqual([200, "item 7"]);
    }
    expect(await metric(nodes[0].admin, 'piko_upstreams_remote_requests_total{node_id="b"}')).toBe(1);
    expect(await metric(nodes[1].admin, "piko_upstreams_upstream_requests_total")).toBeGreaterThanOrEqual(3);
    expect(await metric(nodes[2].admin, 'piko_cluster_nodes{status="active"}')).toBe(3);
  });

  it("send the client's address to the service, but no fields of the hop", async () => {
    const text = await (
      await ask(nodes[0], "web", "/reflect?hop", { headers: { "x-piko-forward": "false" } })
    ).text();
    expect(text).not.toMatch(/x-piko-forward|x-piko-reroute/i);
    const { headers } = await service.request("/reflect?hop");
    expect(headers["x-forwarded-for"]).toBe("127.0.0.1, 127.0.0.1");
  });

  it("transfer bodies completely in both directions", async () => {
    const total = 20_000_000;
    const hash = createHash("sha256");
    for (const piece of new PatternSource(total)) hash.update(piece);
    const sum = await ask(nodes[0], "web", "/sum", {
      method: "PUT",
      body: new Blob([...new PatternSource(total)].map((piece) => new Uint8Array(piece))),
    });
    expect(await sum.json()).toMatchObject({ bytes: total, mismatchAt: -1, sha256: hash.digest("hex") });
    for (const form of ["", "&chunked"]) {
      const response = await ask(nodes[2], "web", `/bytes?n=${total}${form}`);
      const checker = new PatternChecker();
      for await (const piece of response.body ?? []) checker.update(Buffer.from(piece as Uint8Array));
      checker.assertComplete(total);
    }
  });

  it("use few connections for many requests", async () => {
    for (let i = 0; i < 50; i++) {
      const response = await ask(nodes[2], "web", `/item?i=${i}`);
      expect(await response.text()).toBe(`item ${i}`);
    }
    // The nodes' own port counts these connections: those of this test and of the other tests, and a few between nodes.
    expect(await metric(nodes[1].admin, "piko_proxy_connections")).toBeLessThan(20);
  });

  it("carry upgraded connections", async () => {
    const sockets = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    scene.defer(() => {
      for (const each of sockets.clients) each.terminate();
      sockets.close();
    });
    sockets.on("connection", (socket) =>
      socket.on("message", (message, binary) => socket.send(message, { binary })),
    );
    await once(sockets, "listening");
    await startAgent(scene, nodes[1].upstream, "ws", `127.0.0.1:${(sockets.address() as AddressInfo).port}`);
    await untilEndpoints(nodes[0], "b", 2);
    const client = new WebSocket(`ws://${nodes[0].proxy}/`, { headers: { "x-piko-endpoint": "ws" } });
    scene.defer(() => client.terminate());
    await within(once(client, "open"), "open WebSocket");
    for (const size of [1, 70_000, 3_000_000]) {
      client.send(Buffer.alloc(size, size % 251));
      const [message] = (await within(once(client, "message"), "echo")) as [Buffer];
      expect(message.equals(Buffer.alloc(size, size % 251))).toBe(true);
    }
  });

  it("carry TCP connections of forwarders", async () => {
    const echo = await startEchoService(scene);
    const greeter = await startRawService(scene, (socket) => socket.write("220 ready\r\n"));
    await startAgent(scene, nodes[1].upstream, "echo", echo.addr, { mode: "tcp" });
    await startAgent(scene, nodes[1].upstream, "greeter", greeter.addr, { mode: "tcp" });
    await eventually(
      async () =>
        "greeter" in (await adminJson<{ endpoints: object }>(nodes[2], "/status/cluster/nodes/b")).endpoints,
      "the endpoint",
    );
    const client = await RawClient.connect(scene, (await startForward(scene, nodes[2].proxy, "echo")).addr);
    const bytes = Buffer.concat([...new PatternSource(2_000_000)].map((piece) => Buffer.from(piece)));
    client.send(bytes);
    expect((await client.take(bytes.length)).equals(bytes)).toBe(true);
    const greeted = await RawClient.connect(
      scene,
      (await startForward(scene, nodes[2].proxy, "greeter")).addr,
    );
    expect((await greeted.take(11)).toString()).toBe("220 ready\r\n");
  });

  it("don't forward a request from another node again, except one from a Go node, once", async () => {
    const sent = { "x-piko-forward": "true" };
    const headers = { ...sent, "x-piko-hop-capabilities": "reroute" };
    const response = await ask(nodes[0], "web", "/item?i=1", { headers });
    expect(response.status).toBe(502);
    expect(await response.json()).toEqual({
      error: "no available upstreams",
      endpoint: "web",
      reason: "no_upstream",
    });
    expect((await ask(nodes[0], "web", "/item?i=1", { headers: sent })).status).toBe(200);
    expect((await ask(nodes[0], "nobody", "/item?i=1", { headers: sent })).status).toBe(502);
  });

  it("show the cluster on their status pages", async () => {
    const [a, b] = nodes;
    const listed = await adminJson<ListedNode[]>(a, "/status/cluster/nodes");
    expect(listed.map(({ id, status }) => `${id} ${status}`).sort()).toEqual([
      "a active",
      "b active",
      "c active",
    ]);
    const entry = listed.find(({ id }) => id === "b");
    expect(entry).toMatchObject({ proxy_addr: b.proxy, admin_addr: b.admin });
    expect(await adminJson(a, "/status/cluster/nodes/local")).toEqual({
      id: "a",
      status: "active",
      proxy_addr: a.proxy,
      admin_addr: a.admin,
      endpoints: null,
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      started: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    });
    expect(await adminJson(a, "/status/cluster/nodes/b")).toMatchObject({ id: "b", endpoints: { web: 1 } });
    expect((await fetch(`http://${a.admin}/status/cluster/nodes/nobody`)).status).toBe(404);
    const gossip = await adminJson<{ id: string; addr: string; expiry: string }[]>(a, "/status/gossip/nodes");
    expect(gossip.map(({ id, addr }) => [id, addr])).toEqual([
      ["a", a.gossip],
      ["b", b.gossip],
      ["c", nodes[2].gossip],
    ]);
    expect(gossip[1]).toMatchObject({ left: false, unreachable: false, expiry: "0001-01-01T00:00:00Z" });
    const details = await adminJson<{ Entries: object[] }>(a, "/status/gossip/nodes/b");
    expect(details.Entries).toContainEqual(
      expect.objectContaining({ key: "endpoint:web", value: "1", deleted: false, internal: false }),
    );
  });
});

describe("a node that is stopped", () => {
  it("causes no failed request if its agent can reach another node", async () => {
    const service = await Service.start(scene);
    const [a, b, c] = await startCluster(scene, ["a", "b", "c"]);
    await startAgent(scene, await startBalancer(scene, [b, c]), "web", service.addr);
    await untilEndpoints(a, "b", 1);
    const load = keepAsking(a, "web", ["GET", "GET", "POST", "PUT"]);
    await load.more(50);
    b.program.signal("SIGTERM");
    await untilEndpoints(a, "c", 1);
    await b.program.stopped();
    await load.more(50);
    expect(await load.stop()).toEqual([]);
    expect(await activeNodes(a)).toBe("a c");
  });

  it("is shown as left at once", async () => {
    const [a, b] = await startCluster(scene, ["a", "b"]);
    await b.program.stop();
    const listed = await adminJson<ListedNode[]>(a, "/status/cluster/nodes");
    expect(listed.find(({ id }) => id === "b")?.status).toBe("left");
  });
});

describe("a node that is killed", () => {
  // node-loss.test.ts tests how soon, as measured by the nodes themselves.
  it("causes no failure of requests that are safe to retry, and never returns to the cluster", async () => {
    const service = await Service.start(scene);
    const [a, b, c] = await startCluster(scene, ["a", "b", "c"]);
    await startAgent(scene, b.upstream, "web", service.addr);
    await startAgent(scene, c.upstream, "web", service.addr);
    await untilEndpoints(a, "b", 1);
    await untilEndpoints(a, "c", 1);
    const load = keepAsking(a, "web", ["GET", "GET", "PUT", "GET"]);
    await load.more(50);
    await b.program.kill();
    for (const node of [a, c])
      await eventually(async () => (await activeNodes(node)) === "a c", `the end of b at ${node.admin}`);
    for (const until = performance.now() + 3_000; performance.now() < until; await load.more(20)) {
      expect(await activeNodes(a)).toBe("a c");
      expect(await activeNodes(c)).toBe("a c");
    }
    expect(await load.stop()).toEqual([]);
  });

  it("makes requests wait until its agent has connected to another node", async () => {
    const service = await Service.start(scene);
    const [a, b, c] = await startCluster(scene, ["a", "b", "c"], { "proxy.reconnect-wait": "25s" });
    await startAgent(scene, await startBalancer(scene, [b, c]), "web", service.addr);
    await untilEndpoints(a, "b", 1);
    const load = keepAsking(a, "web", ["GET", "PUT"]);
    await load.more(20);
    await b.program.kill();
    await untilEndpoints(a, "c", 1);
    await load.more(20);
    expect(await load.stop()).toEqual([]);
  });

  it("keeps no request waiting when it hangs", async () => {
    const service = await Service.start(scene);
    const [a, b, c] = await startCluster(scene, ["a", "b", "c"]);
    await startAgent(scene, b.upstream, "web", service.addr);
    await startAgent(scene, c.upstream, "web", service.addr);
    // Deferred after its agent, so killed before it: the agent would wait for this node to react.
    scene.defer(() => b.program.kill());
    await untilEndpoints(a, "b", 1);
    await untilEndpoints(a, "c", 1);
    b.program.signal("SIGSTOP");
    // A request that waited for this node to the end would get a 504.
    const responses = await Promise.all(Array.from({ length: 8 }, () => ask(a, "web", "/item?i=1")));
    expect(responses.map(({ status }) => status)).toEqual(responses.map(() => 200));
  });
});

describe("a node that joins", () => {
  /** The address of a server that accepts connections and never answers. */
  const silent = async (): Promise<string> => (await startRawService(scene, () => {})).addr;
  /** An address that nothing listens on. */
  const closed = async (): Promise<string> => {
    const service = await Service.start(scene);
    await service.stop();
    return service.addr;
  };
  const admin = ({ fields }: { fields: Readonly<Record<string, unknown>> }): string =>
    String(fields["admin"]);

  it("is the first one if its only name resolves to nothing", async () => {
    const server = await startServer(scene, { "cluster.join": "no-such-name.invalid" });
    await server.program.waitFor("no other nodes found");
    expect((await fetch(`http://${server.admin}/ready`)).status).toBe(200);
  });

  it("stops with one clear error if no node answers in time", async () => {
    const addr = await closed();
    const program = launchServer(scene, { "cluster.join": addr, "cluster.join-timeout": "600ms" });
    expect((await within(program.exited, "exit", 30_000)).code).toBe(1);
    const errors = program.lines.filter(({ fields }) => fields["level"] === "error");
    expect(errors).toHaveLength(1);
    expect(errors[0]?.fields["msg"]).toBe("failed to run server");
    expect(errors[0]?.text).toContain("cluster join: ");
    expect(errors[0]?.text).toContain(addr);
    expect(errors[0]?.text).toMatch(/refused/i);
  });

  it("stops in time if an address accepts connections but never answers", async () => {
    const program = launchServer(scene, { "cluster.join": await silent(), "cluster.join-timeout": "600ms" });
    expect((await within(program.exited, "exit", 30_000)).code).toBe(1);
  });

  it("continues alone if configured to", async () => {
    const flags = { "cluster.join-timeout": "600ms", "cluster.abort-if-join-fails": "false" };
    const server = await startServer(scene, { "cluster.join": await closed(), ...flags });
    expect((await fetch(`http://${server.admin}/ready`)).status).toBe(503);
    await server.program.waitFor("could not join cluster, continuing alone");
    await eventually(async () => (await fetch(`http://${server.admin}/ready`)).ok, "readiness");
  });

  it("stops at SIGTERM while it waits for an answer, long before the timeout", async () => {
    const program = launchServer(scene, { "cluster.join": await silent() });
    expect((await fetch(`http://${admin(await program.waitFor("server started"))}/ready`)).status).toBe(503);
    program.signal("SIGTERM");
    await program.stopped();
  });

  it("is found, if it starts later, by a node that has its address", async () => {
    const first = await startServer(scene, { "cluster.node-id": "first" });
    const { gossip } = first;
    await first.program.stop();
    const flags = { "cluster.abort-if-join-fails": "false", "cluster.join-timeout": "600ms" };
    const alone = await startServer(scene, { "cluster.node-id": "alone", "cluster.join": gossip, ...flags });
    await alone.program.waitFor("could not join cluster, continuing alone");
    await startServer(scene, { "cluster.node-id": "late", "cluster.gossip.bind-addr": gossip });
    await eventually(async () => (await activeNodes(alone)) === "alone late", "the late node");
  });
});
