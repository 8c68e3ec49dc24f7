// Every way to be refused x every port x HTTP, WebSocket and TCP x first and second node: exactly the answer of Go Piko,
// and nothing reaches a service.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { untilEndpoints } from "../harness/cluster.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import type { RawResponse } from "../harness/raw-response.js";
import { Service } from "../harness/service.js";
import { perFile } from "../harness/stage.js";
import { type Case, Issuer, refusals, wrongEndpoints } from "./refusals.js";

const stage = perFile();
const issuer = new Issuer();
const REVOKED = { id: "token-17", subject: "mallory" };
const cases = refusals(issuer, REVOKED);
const elsewhere = wrongEndpoints(issuer);
let service: Service;
/** Asks for tokens on all ports; the agents are here. */
let guarded: RunningServer;
/** Lets all requests in, and sends them to the other one. */
let open: RunningServer;
/** The first node of those that ask, too. */
let first: RunningServer;

beforeAll(async () => {
  service = await Service.start(stage);
  const file = join(await stage.directory(), "revoked");
  await writeFile(file, `# gone\n${REVOKED.id}\n\n${REVOKED.subject}\n`);
  const flags = (port: string): Record<string, string> => ({
    ...issuer.flags(port),
    [`${port}.auth.revoked-file`]: file,
  });
  open = await startServer(stage, { "cluster.node-id": "open" });
  const join_ = { "cluster.join": open.gossip };
  guarded = await startServer(stage, {
    "cluster.node-id": "guarded",
    ...join_,
    ...flags("proxy"),
    ...flags("upstream"),
  });
  first = await startServer(stage, { ...join_, ...flags("proxy"), ...flags("admin") });
  const flagsOfAgent = ["--connect.token", issuer.hmac()];
  await startAgent(stage, guarded.upstream, "web", service.addr, { flags: flagsOfAgent });
  await startAgent(stage, guarded.upstream, "tcp", service.addr, { flags: flagsOfAgent, mode: "tcp" });
  await untilEndpoints(open, "guarded", 2);
});

/** Field lines of a WebSocket upgrade. */
const UPGRADE =
  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n";
const HTTP = "GET /reflect HTTP/1.1\r\nHost: web.test\r\n";
const TCP = "GET /_piko/v1/tcp/web HTTP/1.1\r\nHost: x\r\n";

/** Ways to ask: the address, and the request up to its credential. */
const ways: Readonly<Record<string, () => readonly [addr: string, head: string]>> = {
  "HTTP at the proxy port": () => [guarded.proxy, HTTP],
  "a WebSocket at the proxy port": () => [guarded.proxy, HTTP + UPGRADE],
  "TCP at the proxy port": () => [guarded.proxy, TCP + UPGRADE],
  "HTTP at a first node": () => [first.proxy, HTTP],
  "TCP at a first node": () => [first.proxy, TCP + UPGRADE],
  "HTTP at a second node": () => [open.proxy, HTTP],
  "a WebSocket at a second node": () => [open.proxy, HTTP + UPGRADE],
  "TCP at a second node": () => [open.proxy, TCP + UPGRADE],
  "a tunnel": () => [guarded.upstream, `GET /piko/v1/upstream/web HTTP/1.1\r\nHost: x\r\n${UPGRADE}`],
};

async function ask(addr: string, head: string, { fields }: Case): Promise<RawResponse> {
  const client = await RawClient.connect(stage, addr);
  client.send(`${head}${fields.map((line) => `${line}\r\n`).join("")}\r\n`);
  const response = await client.response();
  client.socket.destroy();
  return response;
}

/** What matters of an answer: everything but the date and what the connection does next. */
function shown({ body, fields, reason, status }: RawResponse): string {
  const kept = fields.filter(([name]) => !["Date", "Connection", "Keep-Alive"].includes(name));
  return [`${status} ${reason}`, ...kept.map((pair) => pair.join(": ")), body.toString()].join(" | ");
}

const expected = ({ error }: Case): string => {
  const body = JSON.stringify({ error });
  return `401 Unauthorized | Content-Type: application/json; charset=utf-8 | Content-Length: ${body.length} | ${body}`;
};

/** Asks for each case, and compares those answers alone that aren't as they should be. */
async function table(addr: string, head: string, all: readonly Case[]): Promise<void> {
  const wrong: Record<string, string> = {};
  const one = async (each: Case): Promise<void> => {
    const answer = shown(await ask(addr, head, each));
    if (answer !== expected(each)) wrong[each.name] = answer.slice(0, 200);
  };
  await Promise.all(all.map(one));
  expect(wrong).toEqual({});
}

describe("who isn't let in is told so, and no more", () => {
  it.each(Object.keys(ways))("%s", async (way) => {
    const [addr, head] = ways[way]?.() ?? ["", ""];
    await table(addr, head, [...cases, ...elsewhere]);
  });

  it("a page of the admin port", async () => {
    await table(first.admin, "GET /metrics HTTP/1.1\r\nHost: x\r\n", cases);
  });

  it("and no service has heard of it", () => {
    expect(service.requests).toEqual([]);
    // Those of the two agents, who look at their start whether it is there.
    expect(service.connections).toBeLessThanOrEqual(2);
  });
});

const GOOD = {
  name: "",
  error: "",
  fields: [`Authorization: Bearer ${issuer.hmac({ piko: { endpoints: ["web"] } })}`],
};
const NONE = { name: "", error: "", fields: [] };

describe("a token is asked for before anything else of a request is judged", () => {
  it.each([
    ["without an endpoint", () => guarded.proxy, "GET / HTTP/1.1\r\nHost: x\r\n", 400],
    [
      "for an endpoint that can't be",
      () => guarded.proxy,
      `GET / HTTP/1.1\r\nHost: x\r\nx-piko-endpoint: ${"x".repeat(300)}\r\n`,
      400,
    ],
    ["for a path that doesn't exist", () => guarded.proxy, "GET /_piko/x HTTP/1.1\r\nHost: x\r\n", 404],
    [
      "by another method",
      () => guarded.proxy,
      "POST /_piko/v1/tcp/web HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n",
      405,
    ],
    ["for an upgrade without one", () => guarded.proxy, TCP, 426],
    [
      "of the upstream port, for a path that doesn't exist",
      () => guarded.upstream,
      "GET / HTTP/1.1\r\nHost: x\r\n",
      404,
    ],
    [
      "of the upstream port, without an upgrade",
      () => guarded.upstream,
      "GET /piko/v1/upstream/web HTTP/1.1\r\nHost: x\r\n",
      400,
    ],
    [
      "of the admin port, for a page that doesn't exist",
      () => first.admin,
      "GET /x HTTP/1.1\r\nHost: x\r\n",
      404,
    ],
    [
      "of the admin port, by another method",
      () => first.admin,
      "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n",
      405,
    ],
    [
      "of the admin port, for another node",
      () => first.admin,
      "GET /health?forward=nobody HTTP/1.1\r\nHost: x\r\n",
      404,
    ],
  ] as const)("%s", async (_name, addr, head, status) => {
    expect((await ask(addr(), head, NONE)).status).toBe(401);
    expect((await ask(addr(), head, GOOD)).status).toBe(status);
  });

  it.each([
    ["no request", "GET / HTTP/1.1\r\nHost : x\r\n", 400],
    ["an unknown transfer coding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n", 501],
    ["another version", "GET / HTTP/2.0\r\nHost: x\r\n", 505],
    ["a question about the server itself", "OPTIONS * HTTP/1.1\r\nHost: x\r\n", 200],
  ])("but not for %s", async (_name, head, status) => {
    expect((await ask(guarded.proxy, head, NONE)).status).toBe(status);
  });

  it("nor for the pages of probes", async () => {
    for (const page of ["/health", "/ready"]) {
      expect((await ask(first.admin, `GET ${page} HTTP/1.1\r\nHost: x\r\n`, NONE)).status).toBe(200);
    }
  });
});
