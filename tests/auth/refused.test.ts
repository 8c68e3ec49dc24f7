// Every reason for a rejection x every port x HTTP, WebSocket and TCP x first and second node: the answer is exactly that of
// Go Piko, and nothing reaches a service.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type RunningServer, startServer } from "../harness/piko.js";
import { perFile } from "../harness/stage.js";
import { ecPair, inSeconds, jwkOf, type KeyPair, rsaPair, token } from "../harness/tokens.js";
import { ADMIN_WAYS, type Refused, RefusalScene, TCP, WAYS } from "./refusal-scene.js";
import { Issuer, refusals, refusalsByKeyId, wrongEndpoints } from "./refusals.js";

const stage = perFile();
const issuer = new Issuer();
const REVOKED = { id: "token-17", subject: "mallory" };
const cases = refusals(issuer, REVOKED);
const elsewhere = wrongEndpoints(issuer);
let scene: RefusalScene;

beforeAll(async () => {
  const file = join(await stage.directory(), "revoked");
  await writeFile(file, `# gone\n${REVOKED.id}\n\n${REVOKED.subject}\n`);
  const flags = (port: string): Record<string, string> => ({
    ...issuer.flags(port),
    [`${port}.auth.revoked-file`]: file,
  });
  scene = await RefusalScene.start(stage, flags, issuer.hmac());
}, 120_000);

describe("a client that is rejected gets the reason, and nothing more", () => {
  it.each(WAYS)("%s", async (way) => {
    await scene.expectRefused(way, [...cases, ...elsewhere]);
  });

  it.each(ADMIN_WAYS)("%s", async (way) => {
    await scene.expectRefused(way, cases);
  });

  it("and nothing reaches the service", () => {
    scene.expectNothingReceived();
  });
});

describe("if keys have names", () => {
  const keys = { rsa: rsaPair(), ec: ecPair() };
  const nine: readonly KeyPair[] = Array.from({ length: 8 }, () => ecPair());
  const named = refusalsByKeyId(keys, nine);
  let byKeyId: RefusalScene;

  beforeAll(async () => {
    const path = join(await stage.directory(), "keys.json");
    const set = [
      jwkOf(keys.rsa, { kid: "rsa" }),
      jwkOf(keys.ec, { kid: "ec", alg: "ES256", use: "sig" }),
      jwkOf(keys.rsa, { kid: "encrypts", use: "enc" }),
      jwkOf(keys.rsa, { kid: "pss", alg: "PS256" }),
      ...nine.map((pair, index) => jwkOf(pair, { kid: `${index}` })),
    ];
    await writeFile(path, JSON.stringify({ keys: set }));
    const good = token("RS256", keys.rsa.privateKey, { exp: inSeconds(1_800) }, { kid: "rsa" });
    const flags = (port: string): Record<string, string> => ({
      [`${port}.auth.jwks.endpoint`]: `file://${path}`,
    });
    byKeyId = await RefusalScene.start(stage, flags, good);
  }, 120_000);

  it.each([...WAYS, ...ADMIN_WAYS])("%s", async (way) => {
    await byKeyId.expectRefused(way, named);
  });

  it("and nothing reaches the service", () => {
    byKeyId.expectNothingReceived();
  });
});

describe("a tunnel on a server with tenants", () => {
  let server: RunningServer;
  const made = (secret: string, claims: Record<string, unknown> = {}): string =>
    token("HS256", `secret-${secret}`, { exp: inSeconds(1_800), ...claims });
  const as = (tenant: string, secret: string, claims?: Record<string, unknown>): readonly string[] => [
    `x-piko-tenant-id: ${tenant}`,
    `Authorization: Bearer ${made(secret, claims)}`,
  ];

  beforeAll(async () => {
    const path = join(await stage.directory(), "server.yaml");
    const tenants = ["a: [web]", "b: [other]"].map((each) => each.split(": "));
    const lines = tenants.map(
      ([id, endpoints]) =>
        `    - {id: ${id}, endpoints: ${endpoints}, auth: {hmac_secret_key: secret-${id}, audience: agents}}\n`,
    );
    await writeFile(path, `upstream:\n  tenants:\n${lines.join("")}`);
    server = await startServer(stage, { "config.path": path });
  });

  it.each<Refused>([
    { name: "no tenant", fields: [`Authorization: Bearer ${made("a")}`], error: "unknown tenant" },
    { name: "an empty tenant", fields: as("", "a"), error: "unknown tenant" },
    { name: "an unknown tenant", fields: as("c", "a"), error: "unknown tenant" },
    { name: "a tenant in another case", fields: as("A", "a"), error: "unknown tenant" },
    {
      name: "a tenant named __proto__",
      fields: as("__proto__", "a"),
      error: "unknown tenant",
    },
    { name: "another tenant's key", fields: as("a", "b", { aud: "agents" }), error: "invalid token" },
    { name: "another audience", fields: as("a", "a", { aud: "clients" }), error: "invalid token" },
    {
      name: "an expired token",
      fields: as("a", "a", { aud: "agents", exp: inSeconds(-5) }),
      error: "expired token",
    },
    {
      name: "another tenant's endpoint",
      fields: as("b", "b", { aud: "agents" }),
      error: "endpoint not permitted",
    },
    {
      name: "a token for another endpoint",
      fields: as("a", "a", { aud: "agents", piko: { endpoints: ["other"] } }),
      error: "endpoint not permitted",
    },
    {
      name: "two tenants, of which the first counts",
      fields: ["x-piko-tenant-id: b", ...as("a", "a", { aud: "agents" })],
      error: "invalid token",
    },
  ])("is refused with $name", async (each) => {
    const [, head] = scene.way("a tunnel");
    const { body, status } = await scene.ask(server.upstream, head, each.fields);
    expect([status, body.toString()]).toEqual([401, JSON.stringify({ error: each.error })]);
    expect((await scene.ask(server.upstream, head, as("a", "a", { aud: "agents" }))).status).toBe(101);
  });
});

const GOOD = [`Authorization: Bearer ${issuer.hmac({ piko: { endpoints: ["web"] } })}`];

describe("a token is checked before anything else in a request", () => {
  it.each([
    ["without an endpoint", () => scene.guarded.proxy, "GET / HTTP/1.1\r\nHost: x\r\n", 400],
    [
      "for an invalid endpoint id",
      () => scene.guarded.proxy,
      `GET / HTTP/1.1\r\nHost: x\r\nx-piko-endpoint: ${"x".repeat(300)}\r\n`,
      400,
    ],
    ["for a path that doesn't exist", () => scene.guarded.proxy, "GET /_piko/x HTTP/1.1\r\nHost: x\r\n", 404],
    [
      "by another method",
      () => scene.guarded.proxy,
      "POST /_piko/v1/tcp/web HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n",
      405,
    ],
    ["on the TCP path, without an upgrade", () => scene.guarded.proxy, TCP, 426],
    [
      "of the upstream port, for a path that doesn't exist",
      () => scene.guarded.upstream,
      "GET / HTTP/1.1\r\nHost: x\r\n",
      404,
    ],
    [
      "of the upstream port, without an upgrade",
      () => scene.guarded.upstream,
      "GET /piko/v1/upstream/web HTTP/1.1\r\nHost: x\r\n",
      400,
    ],
    [
      "of the admin port, for a page that doesn't exist",
      () => scene.first.admin,
      "GET /x HTTP/1.1\r\nHost: x\r\n",
      404,
    ],
    [
      "of the admin port, by another method",
      () => scene.first.admin,
      "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n",
      405,
    ],
    [
      "of the admin port, for another node",
      () => scene.first.admin,
      "GET /health?forward=nobody HTTP/1.1\r\nHost: x\r\n",
      404,
    ],
  ] as const)("%s", async (_name, addr, head, status) => {
    expect((await scene.ask(addr(), head, [])).status).toBe(401);
    expect((await scene.ask(addr(), head, GOOD)).status).toBe(status);
  });

  it.each([
    ["a malformed request", "GET / HTTP/1.1\r\nHost : x\r\n", 400],
    ["an unknown transfer coding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n", 501],
    ["another version", "GET / HTTP/2.0\r\nHost: x\r\n", 505],
    ["a request about the server itself", "OPTIONS * HTTP/1.1\r\nHost: x\r\n", 200],
  ])("but not for %s", async (_name, head, status) => {
    expect((await scene.ask(scene.guarded.proxy, head, [])).status).toBe(status);
  });

  it("nor for the pages of probes", async () => {
    for (const page of ["/health", "/ready"]) {
      expect((await scene.ask(scene.first.admin, `GET ${page} HTTP/1.1\r\nHost: x\r\n`, [])).status).toBe(
        200,
      );
    }
  });
});
