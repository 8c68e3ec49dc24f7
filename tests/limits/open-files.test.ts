// Fewer files than connections (`ulimit -n`): the ports stop short of the limit, and log it.

import { beforeAll, expect, it } from "vitest";
import { untilEndpoints } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { metric } from "../harness/metrics.js";
import { PIKO, type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { type Program, startProgram } from "../harness/program.js";
import { RawClient } from "../harness/raw-client.js";
import { startRawService } from "../harness/raw-service.js";
import { Service } from "../harness/service.js";
import { perFile, perTest, type Stage } from "../harness/stage.js";

const stage = perFile();
const scene = perTest();
let service: Service;

beforeAll(async () => {
  service = await Service.start(stage);
});

const LIMIT = 200;
/** 64 of the files are reserved, the last 16 of them for purposes other than refusals. */
const SHORT = 136;

function startLimited(name: string, args: readonly string[]): Program {
  const script = `ulimit -n ${LIMIT}; exec "$0" "$@"`;
  return startProgram(scene, name, "sh", ["-c", script, PIKO, ...args, "--log.format", "json"], {
    stopCode: 0,
  });
}

async function startLimitedServer(...flags: readonly string[]): Promise<RunningServer> {
  const ports = ["proxy", "upstream", "admin", "cluster.gossip"].map(
    (port) => `--${port}.bind-addr=127.0.0.1:0`,
  );
  const program = startLimited("server", ["server", "--drain-delay=0s", ...ports, ...flags]);
  const { fields } = await program.waitFor("server started");
  const address = (port: string): string => String(fields[port]);
  return {
    program,
    proxy: address("proxy"),
    upstream: address("upstream"),
    admin: address("admin"),
    gossip: address("gossip"),
  };
}

const GET = "GET /item HTTP/1.1\r\nHost: x\r\nx-piko-endpoint: web\r\n\r\n";

/** Opens a connection that stays open; returns it and the status of its first response. */
async function ask(proxy: string, on: Stage): Promise<{ client: RawClient; status: number }> {
  const client = await RawClient.connect(on, proxy);
  client.send(GET);
  return { client, status: (await client.response("GET")).status };
}

it("answers 503, counts it and logs it when files run short, on either port, and serves again afterwards", async () => {
  const { admin, program, proxy, upstream } = await startLimitedServer();
  // To find a second node, the agent would open more connections to the upstream port.
  await startAgent(scene, upstream, "web", service.addr, { flags: ["--connect.tunnels", "1"] });
  const served: RawClient[] = [];
  for (;;) {
    const { client, status } = await ask(proxy, scene);
    if (status === 503) break;
    expect(status).toBe(200);
    served.push(client);
    expect(served.length).toBeLessThan(SHORT);
  }
  expect(served.length).toBeGreaterThan(SHORT / 2);
  for (let i = 0; i < 100; i++) {
    const { client, status } = await ask(proxy, scene);
    expect(status).toBe(503);
    client.socket.destroy();
  }

  const agent = await RawClient.connect(scene, upstream);
  agent.send("GET /piko/v1/upstream/other HTTP/1.1\r\nHost: x\r\n\r\n");
  const refusal = await agent.response("GET");
  expect(refusal.status).toBe(503);
  expect(refusal.body.toString()).toContain("open_files");

  // Silent connections use up the files reserved for refusals. Probes still get through, and accepted clients are still served.
  const silent = await Promise.all(Array.from({ length: 150 }, () => RawClient.connect(scene, proxy)));
  for (let i = 0; i < 20; i++) {
    const probe = await fetch(`http://${admin}/ready`, { headers: { connection: "close" } });
    expect(probe.status).toBe(200);
  }
  expect(await metric(admin, 'piko_proxy_limited_total{limit="open_files"}')).toBeGreaterThanOrEqual(100);
  expect(await metric(admin, 'piko_upstreams_limited_total{limit="open_files"}')).toBe(1);
  const [first] = served;
  first?.send(GET);
  expect((await first?.response("GET"))?.status).toBe(200);

  for (const client of [...served, ...silent]) client.socket.destroy();
  await eventually(async () => {
    const { client, status } = await ask(proxy, scene);
    client.socket.destroy();
    return status === 200;
  }, "an answer");
  const lines = program.lines.filter(({ fields }) => fields["msg"] === "limit reached");
  const limits = lines.map(({ fields }) => String(fields["limit"]));
  // A probe's connection may have been closed to make room for the next one.
  expect(limits.filter((limit) => limit !== "admin.open_files")).toEqual([
    "proxy.limits.open_files",
    "upstream.limits.open_files",
  ]);
});

it("answers 503 if a connection to another node would take the last files, and blames no node", async () => {
  const far = await startServer(scene, { "cluster.node-id": "far" });
  // Counts connections that carry a request; the agent opens one without when it starts.
  let asked = 0;
  const hanging = await startRawService(scene, (socket) => void socket.once("data", () => asked++));
  await startAgent(scene, far.upstream, "hang", hanging.addr);
  await startAgent(scene, far.upstream, "web", service.addr);
  const near = await startLimitedServer(`--cluster.join=${far.gossip}`);
  await untilEndpoints(near, "far", 2);
  const clients: RawClient[] = [];
  while (clients.length < 100) {
    const { client, status } = await ask(near.proxy, scene);
    expect(status).toBe(200);
    clients.push(client);
  }
  const statuses: number[] = [];
  for (const client of clients) {
    client.send("POST / HTTP/1.1\r\nHost: x\r\nx-piko-endpoint: hang\r\nContent-Length: 0\r\n\r\n");
    client.response("POST").then(
      ({ status }) => statuses.push(status),
      () => {},
    );
  }
  const limited = 'piko_proxy_limited_total{limit="open_files"}';
  await eventually(async () => {
    const probe = await fetch(`http://${near.admin}/ready`, { headers: { connection: "close" } });
    expect(probe.status).toBe(200);
    return asked + statuses.length === clients.length;
  }, "an answer or a service for each");
  expect(new Set(statuses)).toEqual(new Set([503]));
  expect(asked).toBeGreaterThan(20);
  expect(await metric(near.admin, limited)).toBe(statuses.length);
  for (const client of clients) client.socket.destroy();
  await eventually(
    async () => (await ask(near.proxy, scene)).status === 200,
    "an answer by way of the other node",
  );
});

it("resets connections to a forwarder that is short of files, and logs it once", async () => {
  const { proxy, upstream } = await startServer(scene);
  await startAgent(scene, upstream, "tcp", service.addr, { mode: "tcp" });
  const forward = startLimited("forward", [
    "forward",
    "tcp",
    "127.0.0.1:0",
    "tcp",
    "--connect.url",
    `http://${proxy}`,
  ]);
  const { fields } = await forward.waitFor("listening");
  const address = String(fields["addr"]);
  const request = "GET /item HTTP/1.1\r\nHost: x\r\n\r\n";
  // The reset can arrive before the connection counts as open.
  const serve = async (): Promise<number> => {
    const client = await RawClient.connect(scene, address);
    client.send(request);
    return (await client.response("GET")).status;
  };
  let served = 0;
  for (; ; served++) {
    const status = await serve().catch(() => undefined);
    if (status === undefined) break;
    expect(status).toBe(200);
    expect(served).toBeLessThan(SHORT);
  }
  expect(served).toBeGreaterThan(20);
  await expect(serve()).rejects.toThrow();
  await forward.waitFor("limit reached");
  const lines = forward.lines.filter(({ fields: { msg } }) => msg === "limit reached");
  expect(lines.map(({ fields: { level, limit } }) => [level, limit])).toEqual([["error", "open_files"]]);
});
