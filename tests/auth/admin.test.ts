// Authentication on the admin port: what stays open to probes, what a token allows on this node and on another, and profiles.

import { describe, expect, it } from "vitest";
import { type RunningServer, runPiko, startServer } from "../harness/piko.js";
import { perTest } from "../harness/stage.js";
import { inSeconds, token } from "../harness/tokens.js";

const scene = perTest();
const SECRET = "a secret of the admin port";
const AUTH = { "admin.auth.hmac-secret-key": SECRET };
const GOOD = token("HS256", SECRET, { sub: "me", exp: inSeconds(3_600) });

async function ask(
  { admin }: RunningServer,
  path: string,
  value?: string,
): Promise<{ status: number; body: string }> {
  const headers = value === undefined ? {} : { Authorization: `Bearer ${value}` };
  const response = await fetch(`http://${admin}${path}`, { headers });
  return { status: response.status, body: await response.text() };
}

it("probes need no token; ?forward= and everything else do, also on the node that answers", async () => {
  const first = await startServer(scene, { ...AUTH, "cluster.node-id": "first" });
  const other = token("HS256", "another key", { exp: inSeconds(3_600) });
  const second = await startServer(scene, {
    "cluster.node-id": "second",
    "cluster.join": first.gossip,
    "admin.auth.hmac-secret-key": "another key",
    "admin.auth.exempt-probes": "false",
  });
  const status = async (node: RunningServer, path: string, value?: string): Promise<number> =>
    (await ask(node, path, value)).status;
  for (const path of ["/health", "/ready", "/ready?verbose"])
    expect([path, await status(first, path)]).toEqual([path, 200]);
  for (const path of [
    "/health?forward=second",
    "/ready?x&forward",
    "/metrics",
    "/nothing",
    "/health/",
    "/debug/pprof/heap",
  ]) {
    expect([path, await ask(first, path)]).toEqual([
      path,
      { status: 401, body: '{"error":"missing authorization"}' },
    ]);
  }
  expect([await status(second, "/health"), await status(second, "/health", other)]).toEqual([401, 200]);
  // Only the caller's own credential is forwarded. The first node accepts it, the second doesn't.
  const page = "/status/cluster/nodes/local?forward=second";
  expect(await ask(first, page, GOOD)).toEqual({ status: 401, body: '{"error":"invalid token"}' });
  expect(await status(first, "/status/cluster/nodes/local?forward=first", GOOD)).toBe(200);
  const seen = await runPiko(
    ...[
      "server",
      "status",
      "cluster",
      "nodes",
      "--server.url",
      `http://${first.admin}`,
      "--server.token",
      GOOD,
    ],
    ...["--output", "json"],
  );
  expect([seen.code, seen.stderr]).toEqual([0, ""]);
});

describe("profiles", () => {
  it("need a token", async () => {
    const server = await startServer(scene, AUTH);
    const cpu = await ask(server, "/debug/pprof/profile?seconds=1", GOOD);
    expect(cpu.status).toBe(200);
    const profile = JSON.parse(cpu.body) as { nodes: { callFrame: { url: string } }[]; samples: number[] };
    expect(profile.samples.length).toBeGreaterThan(10);
    const heap = await ask(server, "/debug/pprof/heap?seconds=1", GOOD);
    expect(JSON.parse(heap.body)).toHaveProperty("head.callFrame");
    expect(cpu.body + heap.body).not.toContain(SECRET);
    expect((await ask(server, "/debug/pprof/heapsnapshot", GOOD)).status).toBe(404);
  });

  it("aren't available without authentication", async () => {
    const server = await startServer(scene);
    expect((await ask(server, "/debug/pprof/profile?seconds=1")).status).toBe(404);
  });
});
