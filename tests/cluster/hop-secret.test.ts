// How a node is identified if gossip is encrypted: not by its address, which all programs here share, but by a secret that
// only nodes know.

import { randomBytes } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { startCluster } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { Service } from "../harness/service.js";
import { perFile } from "../harness/stage.js";

const scene = perFile();
const FORWARDED_FIELDS =
  "X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\nX-Forwarded-For: 198.51.100.7\r\n";
const CLOSED = {
  "cluster.gossip.encryption": "required",
  "cluster.gossip.secret-keys": randomBytes(32).toString("base64"),
  "proxy.access-log.request-headers.allow-list": "x-piko-hop,x-piko-forward",
};

/** Two nodes: one that trusts its clients, and one that has the agent. All of them have the same address. */
let here: RunningServer;
let there: RunningServer;

beforeAll(async () => {
  const service = await Service.start(scene);
  const limit = { "proxy.limits.max-connections-per-client": "20" };
  [there] = await startCluster(scene, ["there"], { ...CLOSED, ...limit });
  here = await startServer(scene, {
    ...CLOSED,
    "cluster.node-id": "here",
    "cluster.join": there.gossip,
    "proxy.trusted-proxies": "127.0.0.1",
  });
  await startAgent(scene, there.upstream, "web", service.addr);
  await eventually(async () => (await ask(here, "")).status === 200, "the endpoint at the other node");
}, 120_000);

interface Answer {
  readonly status: number;
  readonly head: string;
  /** The fields that the service received, if the answer is its JSON. */
  readonly seen: Record<string, string>;
}

async function ask(server: RunningServer, fields: string, endpoint = "web"): Promise<Answer> {
  const client = await RawClient.connect(scene, server.proxy);
  client.send(`GET /reflect HTTP/1.1\r\nHost: ${endpoint}.test\r\n${fields}Connection: close\r\n\r\n`);
  const response = await client.response();
  const body = response.body.toString();
  const { headers = {} } = (body.startsWith("{") ? JSON.parse(body) : {}) as {
    headers?: Record<string, string>;
  };
  return { status: response.status, head: response.field("x-piko-reroute") ?? "", seen: headers };
}

/** The value that a node's admin port shows for a node's secret. */
async function shownSecret(server: RunningServer, id: string): Promise<string | undefined> {
  const answer = await fetch(`http://${server.admin}/status/gossip/nodes/${id}`);
  const { Entries } = (await answer.json()) as { Entries: { key: string; value: string }[] };
  return Entries.find(({ key }) => key === "_piko:hop-secret")?.value;
}

describe("a client at a node's address", () => {
  const guess = randomBytes(16).toString("base64url");
  it.each([
    ["without a secret", "x-piko-forward: true"],
    ["with an empty secret", "x-piko-forward: true\r\nx-piko-hop:"],
    ["with something else", "x-piko-forward: true\r\nx-piko-hop: true"],
    ["with a guessed secret", `x-piko-forward: true\r\nx-piko-hop: ${guess}`],
    ["with a guessed secret alone", `x-piko-hop: ${guess}`],
  ])("has none of a node's rights %s", async (_how, fields) => {
    const { seen, status } = await ask(there, `${fields}\r\n${FORWARDED_FIELDS}`);
    expect(status).toBe(200);
    expect(seen["x-forwarded-proto"]).toBe("http");
    expect(seen["x-forwarded-host"]).toBe("web.test");
    expect(Object.keys(seen).filter((name) => name.startsWith("x-piko"))).toEqual([]);
    // It isn't forwarded to another node, and the answer contains nothing about the cluster.
    const forwarded = fields.startsWith("x-piko-forward");
    const lost = await ask(here, `${fields}\r\n`);
    expect(lost.status).toBe(forwarded ? 502 : 200);
    expect(lost.head).toBe("");
  });

  it("can't name the field in Connection so that a node's would be removed", async () => {
    const client = await RawClient.connect(scene, here.proxy);
    client.send("GET /reflect HTTP/1.1\r\nHost: web.test\r\nConnection: x-piko-hop\r\n\r\n");
    expect((await client.response()).status).toBe(400);
  });

  it("has a client's maximum of connections", async () => {
    const clients = await Promise.all(
      Array.from({ length: 30 }, () => RawClient.connect(scene, there.proxy)),
    );
    const statuses: number[] = [];
    for (const client of clients) {
      client.send("GET /item?i=1 HTTP/1.1\r\nHost: web.test\r\n\r\n");
      statuses.push((await client.response()).status);
    }
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThanOrEqual(10);
    for (const client of clients) client.socket.destroy();
  });
});

describe("a node", () => {
  it("is treated as one: its fields about the client are trusted, and its secret isn't passed on", async () => {
    const { seen } = await ask(here, FORWARDED_FIELDS);
    expect(seen["x-forwarded-for"]).toBe("198.51.100.7, 127.0.0.1, 127.0.0.1");
    // The first node trusts its client, the second one trusts only nodes.
    expect(seen["x-forwarded-proto"]).toBe("https");
    expect(seen["x-forwarded-host"]).toBe("shop.example");
    expect(Object.keys(seen).filter((name) => name.startsWith("x-piko"))).toEqual([]);
  });

  it("learns that an endpoint has gone, and waits for its return itself", async () => {
    const service = await Service.start(scene);
    const agent = await startAgent(scene, there.upstream, "gone", service.addr);
    await eventually(async () => (await ask(here, "", "gone")).status === 200, "the endpoint");
    await agent.kill();
    expect((await ask(here, "", "gone")).status).toBe(502);
  });

  it("never shows its secret: neither on status pages nor in the log", async () => {
    for (const [server, id] of [
      [here, "here"],
      [here, "there"],
      [there, "here"],
    ] as const)
      expect(await shownSecret(server, id)).toBe("[redacted]");
    await ask(here, "");
    await there.program.waitForLine(({ text }) => /x-piko-forward/i.test(text), "a hop's line");
    const lines = there.program.lines.map(({ text }) => text).filter((text) => /x-piko-hop/i.test(text));
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(line).toMatch(/"X-Piko-Hop":\["\[redacted\]"\]/i);
  });
});
