// Tokens that expire while their tunnels are in use: replaced in time, replaced late, never replaced. With real programs, and
// with keys and tokens that the command creates.

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { curl } from "../harness/curl.js";
import { eventually } from "../harness/deadline.js";
import { haveGo, startGoAgent } from "../harness/go-peer.js";
import { metric, untilMetric } from "../harness/metrics.js";
import { PIKO, type RunningServer, runPiko, startAgent, startServer } from "../harness/piko.js";
import type { Program } from "../harness/program.js";
import { RawClient } from "../harness/raw-client.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { inSeconds, token } from "../harness/tokens.js";
import { run } from "../harness/tools.js";
import { Traffic } from "../harness/traffic.js";

const scene = perTest();
let folder = "";
let secret = "";
let tokenFile = "";
beforeEach(async () => {
  folder = await scene.directory();
  secret = join(folder, "secret");
  tokenFile = join(folder, "token");
  expect((await runPiko("key", "create", "--out", secret)).code).toBe(0);
});

/** A token that expires in `lifeS` seconds. Made here because starting a process would take too much of its lifetime. */
function create(lifeS: number, sub = ""): string {
  return token("HS256", readFileSync(secret, "utf8").trim(), { sub, exp: inSeconds(lifeS) });
}

/** Replaces the file atomically, as secrets are replaced. */
function put(text: string): void {
  writeFileSync(`${tokenFile}.new`, `${text}\n`);
  renameSync(`${tokenFile}.new`, tokenFile);
}

async function start(flags: Readonly<Record<string, string>> = {}): Promise<RunningServer> {
  return await startServer(scene, { "upstream.auth.hmac-secret-key-file": secret, ...flags });
}

/** An agent whose token expires in `lifeS` seconds. It gets this token once it runs: starting takes a while on a busy machine. */
async function startWithLifetime(server: RunningServer, service: Service, lifeS: number): Promise<Program> {
  put(create(1_800));
  const agent = await startAgent(scene, server.upstream, "web", service.addr, {
    flags: ["--connect.token-file", tokenFile],
  });
  const from = agent.lines.length;
  put(create(lifeS));
  await agent.waitFor("connected", { from });
  // The first tunnel is replaced, and takes none of the test's requests.
  await untilMetric(server.admin, "piko_upstreams_connected_upstreams", 1);
  return agent;
}

const endpoints = async ({ admin }: RunningServer): Promise<unknown> =>
  await (await fetch(`http://${admin}/status/upstream/endpoints`)).json();

describe("a token that is replaced", () => {
  it("costs no request and no stream while its tunnel is in use", async () => {
    const service = await Service.start(scene);
    const server = await start({ "proxy.timeout": "60s" });
    const made = await run(PIKO, ["token", "create", "--key-file", secret, "--endpoint", "w*"], {
      showsSecrets: true,
    });
    put(made.stdout.trim());
    const agent = await startAgent(scene, server.upstream, "web", service.addr, {
      // A slow machine isn't what this test is about.
      flags: ["--connect.token-file", tokenFile, "--timeout", "60s"],
    });
    const traffic = Traffic.start(scene, server.proxy, "web", {
      get: 200,
      post: 50,
      events: 2,
    });
    await eventually(() => service.requests.length > 100, "traffic");
    for (let i = 0; i < 3; i++) {
      const from = agent.lines.length;
      put(create(1_800, `next ${i}`));
      await agent.waitFor("connected", { from });
    }
    // The same token again, in a changed file, opens no tunnel.
    const from = agent.lines.length;
    put(`\n${readFileSync(tokenFile, "utf8")}`);
    await agent.waitFor("token file has changed", { from });
    const { counts, failures } = await traffic.stop();
    expect(failures).toEqual([]);
    expect(counts["get"]).toBeGreaterThan(100);
    expect(agent.lines.slice(from).map(({ fields }) => fields["msg"])).not.toContain("connected");
    await eventually(
      async () => (await metric(server.admin, "piko_upstreams_connected_upstreams")) === 1,
      "one tunnel",
    );
  });
});

describe("a token that expires", () => {
  it("takes its tunnel out of use at once, lets streams finish within the grace period, and can be replaced", async () => {
    const service = await Service.start(scene);
    const server = await start({ "upstream.auth.expiry-grace": "2s", "proxy.reconnect-wait": "0s" });
    const agent = await startWithLifetime(server, service, 12);
    const long = await RawClient.connect(scene, server.proxy);
    long.send("GET /events?count=100&ms=200 HTTP/1.1\r\nHost: web.test\r\n\r\n");
    await service.request("/events");
    const { fields } = await server.program.waitFor("upstream token is no longer valid");
    const endedMs = performance.now();
    expect(fields).toMatchObject({ "endpoint-id": "web", reason: "expired" });
    expect(await endpoints(server)).toEqual({});
    expect((await curl(server.proxy, "web", "/item?i=1")).status).toBe(502);
    // The agent has noticed, and learns why it is rejected when it reconnects.
    await agent.waitFor("server refused to connect");
    await long.end;
    expect(performance.now() - endedMs).toBeGreaterThan(1_500);
    await server.program.waitFor("upstream disconnected");
    const from = agent.lines.length;
    put(create(1_800));
    await agent.waitFor("connected", { from });
    expect((await curl(server.proxy, "web", "/item?i=1")).status).toBe(200);
  });

  it("closes no tunnel with disable_disconnect_on_expiry", async () => {
    const service = await Service.start(scene);
    const server = await start({ "upstream.auth.disable-disconnect-on-expiry": "true" });
    const lifeS = 6;
    await startWithLifetime(server, service, lifeS);
    const endMs = Date.now() + (lifeS + 1) * 1_000;
    await eventually(() => Date.now() > endMs, "the token's end");
    expect((await curl(server.proxy, "web", "/item?i=1")).status).toBe(200);
    expect(await endpoints(server)).toEqual({ web: 1 });
  });
});

describe.runIf(haveGo)("a Go agent's token that expires", () => {
  it("closes its tunnel only after all requests in progress, in a way that makes the agent reconnect", async () => {
    const service = await Service.start(scene);
    const server = await start({ "upstream.auth.expiry-grace": "40s" });
    const agent = await startGoAgent(scene, server.upstream, "web", service.addr, ["--token", create(12)]);
    const stream = await RawClient.connect(scene, server.proxy);
    stream.send("GET /events?count=50&ms=300 HTTP/1.1\r\nHost: web.test\r\n\r\n");
    await service.request("/events");
    await server.program.waitFor("upstream token is no longer valid");
    expect(await endpoints(server)).toEqual({});
    expect(agent.lines.map(({ fields }) => fields["event"])).not.toContain("disconnected");
    const { body } = await stream.response("GET", 60_000);
    expect([...body.toString().matchAll(/^id: /gm)]).toHaveLength(50);
    // It reconnects, and now learns that its token has expired. That stops it, as any 401 does.
    const { fields } = await agent.waitFor("disconnected");
    expect(fields).toMatchObject({ final: false });
    await server.program.waitForLine(
      ({ fields }) =>
        fields["subsystem"] === "audit" && fields["reason"] === "expired" && fields["msg"] === "refused",
      "the refusal",
    );
    expect((await agent.exited).code).toBe(1);
  }, 120_000);
});
