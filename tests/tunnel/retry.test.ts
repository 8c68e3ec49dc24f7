// A request whose upstream is lost before it answered moves to another one if that is safe, or waits for one to return.

import { describe, expect, it } from "vitest";
import { eventually } from "../harness/deadline.js";
import { startAgent, startServer } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { startRawService } from "../harness/raw-service.js";
import type { RawResponse } from "../harness/raw-response.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();

/** Longer than an agent takes to start on a busy machine. */
const PATIENT = { "proxy.reconnect-wait": "25s" };

async function send(proxy: string, text: string): Promise<() => Promise<RawResponse>> {
  const client = await RawClient.connect(scene, proxy);
  client.send(text);
  return () => client.response();
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: web.test\r\n\r\n`;
const post = (path: string): string =>
  `POST ${path} HTTP/1.1\r\nHost: web.test\r\nContent-Length: 2\r\n\r\nhi`;

/** Starts two agents, each for a service of its own: the first service never answers, the second does. */
async function twoAgents() {
  const [stuck, good] = [await Service.start(scene), await Service.start(scene)];
  const server = await startServer(scene);
  const first = await startAgent(scene, server.upstream, "web", stuck.addr);
  // The agent that connected first gets the first request.
  await startAgent(scene, server.upstream, "web", good.addr);
  return { server, first, stuck, good };
}

describe("a request whose agent fails before it answered", () => {
  it("goes to another agent if it is safe to retry", async () => {
    const { server, first, stuck, good } = await twoAgents();
    await send(server.proxy, get("/hang?first=200"));
    await stuck.request("/hang");
    const second = await send(server.proxy, get("/item?i=1"));
    expect((await second()).status).toBe(200);
    await first.kill();
    // The second service hangs as well: it only matters that the request arrives there.
    await good.request("/hang?first=200");
    const metrics = async (): Promise<string> => await (await fetch(`http://${server.admin}/metrics`)).text();
    await eventually(async () => (await metrics()).includes("piko_upstreams_retries_total 1"), "the retry");
  });

  it("gets 502 if it isn't safe to retry", async () => {
    const { server, first, stuck, good } = await twoAgents();
    const answer = await send(server.proxy, post("/hang?wait"));
    await stuck.request("/hang");
    await first.kill();
    expect((await answer()).status).toBe(502);
    const next = await send(server.proxy, get("/item?i=1"));
    expect((await next()).status).toBe(200);
    expect(good.requests.filter(({ url }) => url.startsWith("/hang"))).toHaveLength(0);
  });
});

describe("a request in progress when its endpoint's only agent fails", () => {
  it("waits for the next agent and is sent again", async () => {
    let asked = (): void => {};
    const reached = new Promise<void>((resolve) => (asked = resolve));
    const stuck = await startRawService(scene, (socket) => void socket.once("data", asked));
    const good = await Service.start(scene);
    const server = await startServer(scene, PATIENT);
    const first = await startAgent(scene, server.upstream, "web", stuck.addr);
    const answer = await send(server.proxy, get("/item?i=1"));
    await reached;
    await first.kill();
    await startAgent(scene, server.upstream, "web", good.addr);
    const response = await answer();
    expect([response.status, response.body.toString()]).toEqual([200, "item 1"]);
  });
});

describe("a request for an endpoint whose only agent has just left", () => {
  it("waits for the next agent, with its body", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene, PATIENT);
    const agent = await startAgent(scene, server.upstream, "web", service.addr);
    await agent.kill();
    await eventually(
      async () => (await (await fetch(`http://${server.admin}/status/upstream/endpoints`)).text()) === "{}",
      "the agent's end",
    );
    const answer = await send(server.proxy, post("/echo"));
    await startAgent(scene, server.upstream, "web", service.addr);
    const response = await answer();
    expect(response.status).toBe(200);
    expect(response.body.toString()).toContain("hi");
  });

  it("waits as well while that agent's connection is still being closed", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene, PATIENT);
    const agent = await RawClient.connect(scene, server.upstream);
    agent.send(
      "GET /piko/v1/upstream/web HTTP/1.1\r\nHost: upstream.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
    );
    expect((await agent.response()).status).toBe(101);
    // A Close frame with code 1000, masked with 0, without a FIN after it: the server waits for that for seconds.
    agent.send("\x88\x82\0\0\0\0\x03\xe8");
    await agent.end;
    const answer = await send(server.proxy, get("/item?i=1"));
    await startAgent(scene, server.upstream, "web", service.addr);
    const response = await answer();
    expect([response.status, response.body.toString()]).toEqual([200, "item 1"]);
  });

  it("gets 502 if no agent returns in time", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene, { "proxy.reconnect-wait": "300ms" });
    const agent = await startAgent(scene, server.upstream, "web", service.addr);
    await agent.kill();
    const answer = await send(server.proxy, get("/item?i=1"));
    const response = await answer();
    expect(response.status).toBe(502);
    expect(response.body.toString()).toContain("no available upstreams");
  });

  it("is forgotten when its client leaves", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene, PATIENT);
    const agent = await startAgent(scene, server.upstream, "web", service.addr);
    await agent.kill();
    const waiting = async (): Promise<string> => await (await fetch(`http://${server.admin}/metrics`)).text();
    const client = await RawClient.connect(scene, server.proxy);
    client.send(get("/item?i=1"));
    await eventually(
      async () => (await waiting()).includes("piko_upstreams_waiting_requests 1"),
      "the waiting request",
    );
    client.socket.destroy();
    await eventually(async () => (await waiting()).includes("piko_upstreams_waiting_requests 0"), "the end");
  });
});
