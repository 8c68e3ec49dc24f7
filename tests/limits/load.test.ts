// Many things at once, and that nothing is left of them afterwards.

import { writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { SeededRandom } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { eventually } from "../harness/deadline.js";
import { haveGo, startGoAgent, startGoServer } from "../harness/go-peer.js";
import { MemoryWatch } from "../harness/memory.js";
import {
  type RunningServer,
  startAgent,
  startAgentOfFile,
  startServer,
  startTunnel,
} from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();

const get = (path: string, endpoint = "web"): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${endpoint}.test\r\n\r\n`;

async function metric(server: RunningServer, name: string): Promise<number | undefined> {
  const text = await (await fetch(`http://${server.admin}/metrics`)).text();
  const found = new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}

/**
 * Sends more requests at once than the number of unaccepted streams that a Go peer permits (256); each waits for its service.
 */
async function manyAtOnce(proxy: string): Promise<void> {
  const count = 400;
  const clients = await Promise.all(Array.from({ length: count }, () => RawClient.connect(scene, proxy)));
  for (const [i, client] of clients.entries()) client.send(get(`/item?i=${i}&ms=400`));
  const bodies = await Promise.all(clients.map(async (client) => (await client.response()).body.toString()));
  expect(bodies).toEqual(Array.from({ length: count }, (_, i) => `item ${i}`));
}

describe("400 requests at once", () => {
  it("are all answered by our server and agent", async () => {
    const service = await Service.start(scene);
    const { server } = await startTunnel(scene, service.addr);
    await manyAtOnce(server.proxy);
  });

  it.runIf(haveGo)("are all answered by our server and a Go agent", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene);
    await startGoAgent(scene, server.upstream, "web", service.addr);
    await manyAtOnce(server.proxy);
  });

  it.runIf(haveGo)("are all answered by a Go server and our agent", async () => {
    const service = await Service.start(scene);
    const server = await startGoServer(scene);
    await startAgent(scene, server.upstream, "web", service.addr);
    await manyAtOnce(server.proxy);
  });
});

it("500 clients that leave at random moments leave nothing behind", async () => {
  const service = await Service.start(scene);
  const { server, agent } = await startTunnel(scene, service.addr);
  const random = new SeededRandom(11);
  const requests = [
    get("/hang"),
    get("/bytes?n=5000000"),
    get("/events?count=100&ms=5"),
    get("/item?i=1&ms=5"),
    "POST /sum HTTP/1.1\r\nHost: web.test\r\nContent-Length: 100000\r\n\r\nsome of it",
    "POST /echo HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "GET /up?echo HTTP/1.1\r\nHost: web.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nand more",
    get("/item?i=2") + get("/hang") + get("/item?i=3"),
  ];
  const watch = new MemoryWatch([server.program, agent]);
  const visit = async (): Promise<void> => {
    const client = await RawClient.connect(scene, server.proxy);
    client.send(random.pick(requests));
    await delay(random.int(0, 30));
    if (random.next() < 0.5) client.socket.resetAndDestroy();
    else client.socket.destroy();
  };
  for (let round = 0; round < 50; round++) await Promise.all(Array.from({ length: 10 }, visit));
  for (const peak of await watch.stop()) expect(peak).toBeLessThan(200);
  await eventually(async () => (await metric(server, "piko_proxy_requests_in_flight")) === 0, "idle server");
  // An agent that still held one of their streams or connections would wait a minute for it.
  await agent.stop();
});

it("an endpoint's requests are spread evenly over its agents", async () => {
  const services = [await Service.start(scene), await Service.start(scene)];
  const server = await startServer(scene);
  for (const service of services) await startAgent(scene, server.upstream, "web", service.addr);
  const client = await RawClient.connect(scene, server.proxy);
  for (let i = 0; i < 20; i++) {
    client.send(get("/item?i=1"));
    expect((await client.response()).status).toBe(200);
  }
  expect(services.map(({ requests }) => requests.length)).toEqual([10, 10]);
});

it("50 endpoints are served by one agent each, and none gets another's requests", async () => {
  const server = await startServer(scene);
  const service = await Service.start(scene);
  const directory = await scene.directory();
  const listeners = Array.from({ length: 50 }, (_, i) => `  - {endpoint_id: e${i}, addr: "${service.addr}"}`);
  await writeFile(`${directory}/agent.yaml`, `listeners:\n${listeners.join("\n")}\n`);
  const agent = await startAgentOfFile(scene, server.upstream, `${directory}/agent.yaml`);
  await eventually(
    () => agent.lines.filter(({ fields }) => fields["msg"] === "connected").length === 50,
    "50 tunnels",
  );
  for (let i = 0; i < 50; i++) {
    const client = await RawClient.connect(scene, server.proxy);
    client.send(get("/reflect", `e${i}`));
    const seen = JSON.parse((await client.response()).body.toString()) as { headers: { host: string } };
    expect(seen.headers.host).toBe(`e${i}.test`);
    client.socket.destroy();
  }
  const endpoints = (await (
    await fetch(`http://${server.admin}/status/upstream/endpoints`)
  ).json()) as object;
  expect(Object.keys(endpoints)).toHaveLength(50);
});
