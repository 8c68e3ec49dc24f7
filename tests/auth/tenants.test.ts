// Tenants: which endpoints their agents may listen on, their limits, and how both change without a restart.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startCluster, untilEndpoints } from "../harness/cluster.js";
import { metric } from "../harness/metrics.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import type { Program } from "../harness/program.js";
import { RawClient } from "../harness/raw-client.js";
import { Service } from "../harness/service.js";
import { perTest, type Stage } from "../harness/stage.js";
import { inSeconds, token } from "../harness/tokens.js";

const scene = perTest();

const made = (secret: string, claims: Record<string, unknown> = {}): string =>
  token("HS256", secret, { exp: inSeconds(1_800), ...claims });

interface Tenant {
  readonly id: string;
  readonly secret: string;
  readonly more?: string;
}

const yaml = (tenants: readonly Tenant[]): string =>
  `upstream:\n  tenants: ${tenants.length === 0 ? "[]" : ""}\n${tenants
    .map(({ id, secret, more = "" }) => `    - {id: ${id}, auth: {hmac_secret_key: ${secret}}${more}}\n`)
    .join("")}`;

interface Tenants {
  readonly server: RunningServer;
  /** Rewrites the file, and waits until the server has logged `message`. */
  readonly write: (tenants: readonly Tenant[], message: string) => Promise<void>;
}

async function start(
  stage: Stage,
  tenants: readonly Tenant[],
  flags: Record<string, string> = {},
): Promise<Tenants> {
  const path = join(await stage.directory(), "server.yaml");
  await writeFile(path, yaml(tenants));
  const server = await startServer(stage, { "config.path": path, ...flags });
  const write: Tenants["write"] = async (next, message) => {
    const from = server.program.lines.length;
    await writeFile(path, yaml(next));
    await server.program.waitFor(message, { from });
  };
  return { server, write };
}

/** The status of an upgrade, with the error if it fails. */
async function open(
  server: RunningServer,
  endpoint: string,
  tenant: string | undefined,
  credential: string,
): Promise<string> {
  const client = await RawClient.connect(scene, server.upstream);
  const named = tenant === undefined ? "" : `x-piko-tenant-id: ${tenant}\r\n`;
  client.send(
    `GET /piko/v1/upstream/${endpoint} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n${named}Authorization: Bearer ${credential}\r\n\r\n`,
  );
  const { body, status } = await client.response();
  return status === 101 ? "101" : `${status} ${(JSON.parse(body.toString()) as { error: string }).error}`;
}

function agent(
  server: RunningServer,
  endpoint: string,
  service: Service,
  tenant: string,
  secret: string,
): Promise<Program> {
  const flags = ["--connect.tenant-id", tenant, "--connect.token", made(secret)];
  return startAgent(scene, server.upstream, endpoint, service.addr, { flags });
}

const A: Tenant = { id: "a", secret: "secret-a", more: ", endpoints: [a-*, shared]" };
const B: Tenant = { id: "b", secret: "secret-b", more: ", endpoints: [b-*]" };

describe("a tenant", () => {
  it("is identified by its name and its key, and listens only on its own endpoints", async () => {
    const { server } = await start(scene, [A, B]);
    const answers = [
      await open(server, "a-1", "a", made("secret-a")),
      await open(server, "shared", "a", made("secret-a")),
      await open(server, "b-1", "b", made("secret-b")),
      await open(server, "b-1", "a", made("secret-a")),
      await open(server, "a-1", "a", made("secret-b")),
      await open(server, "a-1", "b", made("secret-b")),
      await open(server, "a-1", undefined, made("secret-a")),
      await open(server, "a-1", "c", made("secret-a")),
      await open(server, "a-1", "A", made("secret-a")),
      await open(server, "a-1", "a", made("secret-a", { piko: { endpoints: ["a-2"] } })),
      await open(server, "a-2", "a", made("secret-a", { piko: { endpoints: ["*"] } })),
    ];
    expect(answers).toEqual([
      "101",
      "101",
      "101",
      "401 endpoint not permitted",
      "401 invalid token",
      "401 endpoint not permitted",
      "401 unknown tenant",
      "401 unknown tenant",
      "401 unknown tenant",
      "401 endpoint not permitted",
      "101",
    ]);
  });

  it("has a maximum of tunnels and endpoints, which doesn't affect other tenants", async () => {
    const few = { ...A, more: ", max_tunnels: 3, max_endpoints: 2" };
    const { server } = await start(scene, [few, B]);
    const asA = (endpoint: string): Promise<string> => open(server, endpoint, "a", made("secret-a"));
    expect([await asA("1"), await asA("2")]).toEqual(["101", "101"]);
    expect(await asA("3")).toBe("503 too many tunnels (tenant_max_endpoints)");
    expect(await asA("2")).toBe("101");
    expect(await asA("2")).toBe("503 too many tunnels (tenant_max_tunnels)");
    expect(await open(server, "b-3", "b", made("secret-b"))).toBe("101");
    expect(await metric(server.admin, 'piko_upstreams_limited_total{limit="tenant_max_tunnels"}')).toBe(1);
  });

  it("has a maximum of requests per second, on whichever node they arrive, and answers say when to retry", async () => {
    const service = await Service.start(scene);
    const path = join(await scene.directory(), "server.yaml");
    const slow = { ...A, more: ", requests_per_second: 2, requests_per_second_per_endpoint: 10" };
    await writeFile(path, yaml([slow, B]));
    const [here, there] = await startCluster(scene, ["here", "there"], { "config.path": path });
    await Promise.all([
      agent(here, "a-1", service, "a", "secret-a"),
      agent(here, "b-1", service, "b", "secret-b"),
    ]);
    await untilEndpoints(there, "here", 2);
    const burst = async (at: RunningServer, endpoint: string, count: number): Promise<number[]> => {
      const ask = async (): Promise<number> => {
        const response = await fetch(`http://${at.proxy}/sum`, { headers: { "x-piko-endpoint": endpoint } });
        await response.arrayBuffer();
        if (response.status === 429) expect(response.headers.get("retry-after")).toBe("1");
        return response.status;
      };
      return (await Promise.all(Array.from({ length: count }, ask))).sort();
    };
    const refused = (statuses: number[]): number => statuses.filter((status) => status === 429).length;
    expect(refused(await burst(there, "a-1", 40))).toBeGreaterThan(20);
    expect(refused(await burst(here, "a-1", 40))).toBeGreaterThan(20);
    expect(refused(await burst(there, "b-1", 40))).toBe(0);
    expect(
      await metric(here.admin, 'piko_proxy_limited_total{limit="requests_per_second_per_endpoint"}'),
    ).toBeGreaterThan(20);
  });
});

describe("the file of tenants", () => {
  it("may change: a new tenant is accepted, a removed one is disconnected, others are left alone", async () => {
    const service = await Service.start(scene);
    const { server, write } = await start(scene, [A, B]);
    const gone = await agent(server, "a-1", service, "a", "secret-a");
    const stays = await agent(server, "b-1", service, "b", "secret-b");
    const C: Tenant = { id: "c", secret: "secret-c" };
    expect(await open(server, "c-1", "c", made("secret-c"))).toBe("401 unknown tenant");
    const from = gone.lines.length;
    await write([B, C], "tenants changed");
    expect(await open(server, "c-1", "c", made("secret-c"))).toBe("101");
    expect(await open(server, "a-1", "a", made("secret-a"))).toBe("401 unknown tenant");
    await server.program.waitFor("upstream token is no longer valid");
    await gone.waitForLine(({ text }) => text.includes("unknown tenant"), "the refusal", { from });
    const answer = await fetch(`http://${server.proxy}/sum`, { headers: { "x-piko-endpoint": "b-1" } });
    expect(answer.status).toBe(200);
    expect(stays.lines.filter(({ fields }) => fields["msg"] === "connected")).toHaveLength(1);
  });

  it("may change what a tenant may listen on, and its limits", async () => {
    const { server, write } = await start(scene, [A, B]);
    expect(await open(server, "x-1", "b", made("secret-b"))).toBe("401 endpoint not permitted");
    await write([A, { ...B, more: ", endpoints: [x-*], max_tunnels: 1" }], "tenants changed");
    expect(await open(server, "x-1", "b", made("secret-b"))).toBe("101");
    expect(await open(server, "x-1", "b", made("secret-b"))).toBe(
      "503 too many tunnels (tenant_max_tunnels)",
    );
  });

  it("isn't applied while it contains a mistake, or if it would let everyone in", async () => {
    const { server, write } = await start(scene, [A]);
    const kept = "could not apply the configuration, still using the previous one";
    await write([{ ...A, more: ", endpoint: [x]" }], kept);
    await write([A, A], kept);
    await write([], kept);
    expect(await open(server, "a-1", "a", made("secret-a"))).toBe("101");
    expect(await open(server, "a-1", undefined, made("secret-a"))).toBe("401 unknown tenant");
  });

  it("causes a warning if tenants share endpoints", async () => {
    const shared = { ...B, more: ", endpoints: [b-*, a-x]" };
    const { server } = await start(scene, [A, shared, { id: "c", secret: "secret-c" }]);
    const unbound = await server.program.waitFor(
      "tenants without endpoints of their own may listen on those of others: set endpoints",
    );
    expect(unbound.fields["tenants"]).toEqual(["c"]);
    const pairs = await server.program.waitFor("tenants have endpoints in common");
    expect(pairs.fields["tenants"]).toEqual(["a and b: a-*, a-x"]);
  });
});
