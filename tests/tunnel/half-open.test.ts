// Peers that silently vanish from the network: agents, services, other nodes. (Clients are in limits/standstill.test.ts.)
// Everyone who waits for such a peer gets an error, and nothing of it remains.

import { writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { activeNodes, untilEndpoints } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { metric, untilMetric } from "../harness/metrics.js";
import { NetworkNamespace } from "../harness/network-namespace.js";
import { PIKO, type RunningServer, startAgent, startAgentOfFile, startServer } from "../harness/piko.js";
import { startProgram } from "../harness/program.js";
import { RawClient } from "../harness/raw-client.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: web.test\r\n\r\n`;

/** Starts a service inside a network that sends one event of a stream and then nothing more, and never answers `/hang`. */
async function startService(network: NetworkNamespace, host: string): Promise<void> {
  const script = `require("node:http").createServer((request, response) => {
    if (request.url === "/hang") return;
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\\n\\n");
  }).listen(3000, "${host}", () => console.log("listening"))`;
  const service = startProgram(scene, "service", ...network.command(process.execPath, ["-e", script]));
  await service.waitForLine(({ text }) => text === "listening", "start");
}

/** Starts an agent inside a network for endpoint `web` and the service there. */
async function startAgentInside(network: NetworkNamespace, upstream: string): Promise<void> {
  const flags = ["--connect.url", `http://${upstream}`, "--log.format", "json"];
  const command = network.command(PIKO, ["agent", "http", "web", "127.0.0.1:3000", ...flags]);
  await startProgram(scene, "agent", ...command).waitFor("connected");
}

/** Opens an event stream and waits for the first event. */
async function openEvents(server: RunningServer): Promise<RawClient> {
  const client = await RawClient.connect(scene, server.proxy);
  client.send(get("/events"));
  await eventually(() => client.buffer.includes("data: 1"), "first event");
  return client;
}

/** Checks that the connection ends, and that its response isn't complete. */
async function isCut(client: RawClient, ms?: number): Promise<void> {
  expect((await client.rest(ms)).toString("latin1")).not.toMatch(/0\r\n\r\n$/);
}

describe("an agent that vanishes", () => {
  it("loses its tunnel, its requests get 502, and another agent's continue", async () => {
    const network = await NetworkNamespace.create(scene);
    if (network === undefined) return;
    const server = await startServer(scene, {
      "upstream.bind-addr": `${network.host}:0`,
      "upstream.limits.ping-interval": "2100ms",
      "upstream.limits.ping-timeout": "2s",
    });
    await startService(network, "127.0.0.1");
    await startAgentInside(network, server.upstream);
    const service = await Service.start(scene);
    await startAgent(scene, server.upstream, "other", service.addr);
    await untilMetric(server.admin, "piko_upstreams_connected_upstreams", 2);
    const client = await RawClient.connect(scene, server.proxy);
    client.send("POST /hang HTTP/1.1\r\nHost: web.test\r\nContent-Length: 0\r\n\r\n");
    await untilMetric(server.admin, "piko_upstreams_open_streams", 1);
    await network.silence();
    expect((await client.response("POST")).status).toBe(502);
    await untilMetric(server.admin, "piko_upstreams_connected_upstreams", 1);
    expect(await metric(server.admin, 'piko_upstreams_limited_total{limit="ping_timeout"}')).toBe(1);
    client.send(get("/item?i=1").replace("web", "other"));
    expect((await client.response()).status).toBe(200);
  });
});

describe("a service that vanishes", () => {
  it("ends a response in progress soon after the TCP keep-alive fails", async () => {
    const network = await NetworkNamespace.create(scene);
    if (network === undefined) return;
    await startService(network, network.guest);
    const server = await startServer(scene);
    const directory = await scene.directory();
    const file = `${directory}/agent.yaml`;
    await writeFile(
      file,
      `listeners: [{endpoint_id: web, addr: "${network.guest}:3000", http_client: {keep_alive_timeout: 1s}}]\n`,
    );
    const agent = startAgentOfFile(scene, server.upstream, file);
    await agent.waitFor("connected");
    const client = await openEvents(server);
    await network.silence();
    await isCut(client);
    await untilMetric(server.admin, "piko_upstreams_open_streams", 0);
  });
});

describe("a node that vanishes", () => {
  it("ends a response in progress through it, without waiting for its client", async () => {
    const network = await NetworkNamespace.create(scene);
    if (network === undefined) return;
    const ports = ["proxy", "upstream", "admin", "cluster.gossip"];
    const first = await startServer(scene, {
      ...Object.fromEntries(ports.map((port) => [`${port}.bind-addr`, `${network.host}:0`])),
      "cluster.node-id": "a",
    });
    const binds = ports.map((port) => `--${port}.bind-addr=${network.guest}:0`);
    const flags = ["--cluster.node-id=b", `--cluster.join=${first.gossip}`, "--log.format=json"];
    const inside = network.command(PIKO, ["server", ...binds, ...flags]);
    const second = startProgram(scene, "server b", ...inside);
    const { fields } = await second.waitFor("server started");
    await eventually(async () => (await activeNodes(first)) === "a b", "both nodes");
    await startService(network, "127.0.0.1");
    await startAgentInside(network, String(fields["upstream"]));
    await untilEndpoints(first, "b", 1);
    const client = await openEvents(first);
    await network.silence();
    await isCut(client, 60_000);
  });
});
