// Which credentials are accepted: by every algorithm, on each port, over a hop; and what becomes of the credential
// afterwards.

import { beforeAll, describe, expect, it } from "vitest";
import { untilEndpoints } from "../harness/cluster.js";
import { metric } from "../harness/metrics.js";
import { type RunningServer, startAgent, startForward, startServer } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { Service } from "../harness/service.js";
import { perFile, perTest } from "../harness/stage.js";
import { token } from "../harness/tokens.js";
import { Issuer } from "./refusals.js";

const stage = perFile();
const scene = perTest();
const issuer = new Issuer();
let service: Service;
/** The agents are connected to the second node. */
let first: RunningServer;
let second: RunningServer;

beforeAll(async () => {
  service = await Service.start(stage);
  const flags = { ...issuer.flags("proxy"), ...issuer.flags("upstream") };
  first = await startServer(stage, { "cluster.node-id": "first", ...flags, ...issuer.flags("admin") });
  second = await startServer(stage, { "cluster.node-id": "second", "cluster.join": first.gossip, ...flags });
  const agent = ["--connect.token", issuer.hmac({ piko: { endpoints: ["web", "t*"] } })];
  await startAgent(stage, second.upstream, "web", service.addr, { flags: agent });
  await startAgent(stage, second.upstream, "tcp", service.addr, { flags: agent, mode: "tcp" });
  await untilEndpoints(second, "second", 2);
});

interface Reflected {
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

/** Names (in lower case) and values of the fields with credentials that reached the service. */
async function credentials(of: RunningServer, fields: readonly string[]): Promise<readonly string[]> {
  const client = await RawClient.connect(scene, of.proxy);
  client.send(
    `GET /reflect HTTP/1.1\r\nHost: web.test\r\n${fields.map((line) => `${line}\r\n`).join("")}\r\n`,
  );
  const { body, status } = await client.response();
  expect([status, body.toString()]).toEqual([200, expect.stringContaining("rawHeaders")]);
  const { rawHeaders } = JSON.parse(body.toString()) as Reflected;
  const pairs = rawHeaders.flatMap((name, index) =>
    index % 2 === 0 ? [`${name.toLowerCase()}: ${rawHeaders[index + 1] ?? ""}`] : [],
  );
  return pairs.filter((line) => /^(x-piko|authorization)/.test(line) && !line.startsWith("x-piko-forward:"));
}

const nodes = [
  ["the node of the agent", (): RunningServer => second],
  ["another node", (): RunningServer => first],
] as const;

describe.each(nodes)("at %s", (_name, node) => {
  it.each([
    ["HS256", (): string => issuer.hmac()],
    ["HS384", (): string => token("HS384", issuer.secret, issuer.claims())],
    ["HS512", (): string => token("HS512", issuer.secret, issuer.claims())],
    ["RS256", (): string => token("RS256", issuer.rsa.privateKey, issuer.claims())],
    ["RS384", (): string => token("RS384", issuer.rsa.privateKey, issuer.claims())],
    ["RS512", (): string => token("RS512", issuer.rsa.privateKey, issuer.claims())],
    ["ES256", (): string => token("ES256", issuer.ec.privateKey, issuer.claims())],
    ["an unknown key id", (): string => issuer.hmac({}, { kid: "x" })],
    ["several audiences", (): string => issuer.hmac({ aud: ["other", issuer.audience] })],
    ["no expiry", (): string => issuer.hmac({ exp: undefined })],
    ["all endpoints", (): string => issuer.hmac({ piko: { endpoints: [] } })],
    ["all endpoints, as a Go program writes it", (): string => issuer.hmac({ piko: { endpoints: null } })],
    ["endpoints as a pattern", (): string => issuer.hmac({ piko: { endpoints: ["x", "w*b"] } })],
    ["8 KiB", (): string => padded(8_192)],
  ])("a request with a token is accepted: %s", async (_case, make) => {
    expect(await credentials(node(), [`Authorization: Bearer ${make()}`])).toEqual([]);
    expect(await credentials(node(), [`X-Piko-Authorization: Bearer ${make()}`])).toEqual([]);
  });

  it("a service's own Authorization is left alone if the token came in another field", async () => {
    const own = ["Authorization: Basic b3duOm93bg==", "authorization: another"];
    expect(await credentials(node(), [...own, `x-piko-authorization: Bearer ${issuer.hmac()}`])).toEqual([
      "authorization: Basic b3duOm93bg==",
      "authorization: another",
    ]);
  });

  it("no credential reaches the service, however often it is sent", async () => {
    const good = `Bearer ${issuer.hmac()}`;
    expect(await credentials(node(), [`Authorization: ${good}`, "Authorization: Bearer second"])).toEqual([]);
    const both = ["x-piko-authorization:", `Authorization: ${good}`, "x-piko-authorization: Bearer other"];
    expect(await credentials(node(), both)).toEqual([]);
  });

  it("a body that arrives together with a new token reaches the service", async () => {
    const body = "x".repeat(300_000);
    const response = await fetch(`http://${node().proxy}/echo`, {
      method: "POST",
      body,
      headers: {
        "x-piko-endpoint": "web",
        authorization: `Bearer ${issuer.hmac({ jti: `${Math.random()}` })}`,
      },
    });
    expect([response.status, await response.text()]).toEqual([200, body]);
  });

  it("pipelined requests with new tokens are answered in order", async () => {
    const client = await RawClient.connect(scene, node().proxy);
    const request = (n: number): string =>
      `GET /reflect?${n} HTTP/1.1\r\nHost: web.test\r\nAuthorization: Bearer ${issuer.hmac({ jti: `${Math.random()}` })}\r\n\r\n`;
    client.send([1, 2, 3].map(request).join(""));
    for (const n of [1, 2, 3]) {
      expect((await client.response()).body.toString()).toContain(`"/reflect?${n}"`);
    }
  });

  it("a forwarder with a token is accepted, and one without is rejected", async () => {
    const answer = async (flags: readonly string[]): Promise<string> => {
      const { addr } = await startForward(scene, node().proxy, "tcp", flags);
      const client = await RawClient.connect(scene, addr);
      client.send("GET /reflect HTTP/1.1\r\nHost: x\r\n\r\n");
      return await client.response().then(
        ({ status }) => `${status}`,
        () => "closed",
      );
    };
    expect(await answer(["--connect.token", issuer.hmac({ piko: { endpoints: ["t?p", "tc*"] } })])).toBe(
      "200",
    );
    expect(await answer([])).toBe("closed");
  });
});

it("WebSocket bytes that are sent right after an upgrade request with a new token reach the service", async () => {
  const client = await RawClient.connect(scene, second.proxy);
  // A masked binary frame (mask 0) with an HTTP request of 34 bytes.
  const inner = "GET /reflect HTTP/1.0\r\nHost: x\r\n\r\n";
  const frame = Buffer.concat([Buffer.from([0x82, 0x80 | inner.length, 0, 0, 0, 0]), Buffer.from(inner)]);
  const head =
    "GET /_piko/v1/tcp/tcp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
    `Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nAuthorization: Bearer ${issuer.hmac({ jti: "early" })}\r\n\r\n`;
  client.send(Buffer.concat([Buffer.from(head), frame]));
  expect((await client.response()).status).toBe(101);
  expect((await client.take(40)).toString("latin1")).toContain("HTTP/1.1 200");
});

it("a host in another case is served for the endpoint that the token names", async () => {
  const ask = async (host: string, endpoints: readonly string[]): Promise<number> => {
    const client = await RawClient.connect(scene, second.proxy);
    const good = issuer.hmac({ piko: { endpoints } });
    client.send(`GET /reflect HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${good}\r\n\r\n`);
    return (await client.response()).status;
  };
  expect(await ask("WEB.test", ["web"])).toBe(200);
  expect(await ask("WEB.test", ["WEB"])).toBe(401);
  expect(await ask("web.test", ["WEB"])).toBe(401);
});

it("a token is verified once, however many requests carry it", async () => {
  const verifications = async (): Promise<number> =>
    (await metric(second.admin, 'piko_auth_verifications_total{port="proxy"}')) ?? 0;
  const before = await verifications();
  const authorization = `Bearer ${issuer.hmac({ jti: "often" })}`;
  const ask = (): Promise<Response> =>
    fetch(`http://${second.proxy}/reflect`, { headers: { "x-piko-endpoint": "web", authorization } });
  const answers = await Promise.all(Array.from({ length: 50 }, ask));
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 50 }, () => 200));
  expect((await verifications()) - before).toBe(1);
});

it("a token expires even on a connection that has used it", async () => {
  const client = await RawClient.connect(scene, second.proxy);
  const authorization = `Bearer ${issuer.hmac({ exp: Math.floor(Date.now() / 1_000) + 2 })}`;
  const ask = async (): Promise<string> => {
    client.send(`GET /reflect HTTP/1.1\r\nHost: web.test\r\nAuthorization: ${authorization}\r\n\r\n`);
    const { body, status } = await client.response();
    return status === 200 ? "200" : body.toString();
  };
  expect(await ask()).toBe("200");
  let last = "200";
  while (last === "200") last = await ask();
  expect(last).toBe('{"error":"expired token"}');
});

it("the admin port accepts its own tokens, and forwards them to another node", async () => {
  const headers = { authorization: `Bearer ${issuer.hmac()}` };
  expect((await fetch(`http://${first.admin}/status/cluster/nodes`)).status).toBe(401);
  expect((await fetch(`http://${first.admin}/status/cluster/nodes`, { headers })).status).toBe(200);
  expect(
    (await fetch(`http://${first.admin}/status/upstream/endpoints?forward=second`, { headers })).status,
  ).toBe(200);
  expect((await fetch(`http://${first.admin}/health?forward=second`)).status).toBe(401);
});

/** A valid token of exactly this many bytes. */
function padded(bytes: number): string {
  for (let length = bytes / 2; length < bytes; length++) {
    for (const more of [{}, { k: "" }, { kk: "" }, { kkk: "" }]) {
      const made = issuer.hmac({ padding: "x".repeat(length) }, more);
      if (made.length === bytes) return made;
      if (made.length > bytes) break;
    }
  }
  throw new Error(`no token of ${bytes} bytes`);
}
