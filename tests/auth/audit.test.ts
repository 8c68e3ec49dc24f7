// What the logs say about tokens: the audit shows which ones were accepted and rejected, and no output ever contains the
// tokens or keys themselves.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { curl } from "../harness/curl.js";
import { eventually } from "../harness/deadline.js";
import { piko, runPiko, startAgent, startServer } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { inSeconds, token } from "../harness/tokens.js";

const scene = perTest();
const SECRET = "a-secret-that-nobody-may-see-anywhere";

it("accepted and rejected tokens are in the audit, and secrets appear nowhere", async () => {
  const service = await Service.start(scene);
  const keys = Object.fromEntries(
    ["proxy", "upstream", "admin"].map((port) => [`${port}.auth.hmac-secret-key`, SECRET]),
  );
  const server = await startServer(scene, { ...keys, "log.level": "debug" });
  const claims = { sub: "an-agent", jti: "token-1", exp: inSeconds(1_800), piko: { endpoints: ["web"] } };
  const good = token("HS256", SECRET, claims);
  const expired = token("HS256", SECRET, { ...claims, jti: "token-2", exp: inSeconds(-60) });
  const forged = token("HS256", "another secret, of somebody else", { ...claims, jti: "token-3" });

  // On the command line, as users do who don't know better.
  const agent = await startAgent(scene, server.upstream, "web", service.addr, {
    flags: ["--connect.token", good, "--log.level", "debug"],
  });
  const file = join(await scene.directory(), "token");
  writeFileSync(file, expired);
  const refused = piko(scene, "refused agent", [
    ...["agent", "http", "web", service.addr, "--connect.url", `http://${server.upstream}`],
    ...["--connect.token-file", file],
  ]);
  expect((await refused.exited).code).toBe(1);
  const ask = (value: string, endpoint = "web"): Promise<{ status: number }> =>
    curl(server.proxy, endpoint, "/item?i=1", { args: ["-H", `Authorization: Bearer ${value}`] });
  expect([(await ask(good)).status, (await ask(forged)).status, (await ask(good, "other")).status]).toEqual([
    200, 401, 401,
  ]);
  const pages = [
    "/health",
    "/metrics",
    "/status/upstream/endpoints",
    "/status/cluster/nodes",
    "/status/gossip/nodes",
  ];
  const admin = async (path: string, value?: string): Promise<Response> =>
    await fetch(
      `http://${server.admin}${path}`,
      value === undefined ? {} : { headers: { Authorization: `Bearer ${value}` } },
    );
  expect((await admin("/metrics")).status).toBe(401);
  const shown = await Promise.all(pages.map(async (path) => (await admin(path, good)).text()));
  const status = await runPiko(
    "server",
    "status",
    "cluster",
    "nodes",
    "--server.url",
    `http://${server.admin}`,
    "--server.token-file",
    file,
  );
  expect(status.code).toBe(1);
  expect(status.stderr).toContain("bad status: 401 (expired token)");
  const processes = [server.program, agent].map(({ pid }) => readFileSync(`/proc/${pid}/cmdline`, "utf8"));
  await agent.stop();
  await server.program.waitForLine(
    ({ fields }) => fields["subsystem"] === "audit" && fields["msg"] === "lost",
    "the lost tunnel",
  );

  const audit = server.program.lines
    .map(({ fields }) => fields)
    .filter(({ subsystem }) => subsystem === "audit");
  const of = (msg: string, port: string): unknown[] =>
    audit
      .filter((line) => line["msg"] === msg && line["port"] === port)
      .map(({ jti, reason, sub }) => [sub, jti, reason]);
  expect(of("opened", "upstream")).toEqual([["an-agent", "token-1", undefined]]);
  expect(of("lost", "upstream")).toEqual([["an-agent", "token-1", "closed"]]);
  expect(of("refused", "upstream")).toEqual([["an-agent", "token-2", "expired"]]);
  expect(of("refused", "proxy")).toEqual([
    ["an-agent", "token-3", "signature"],
    ["an-agent", "token-1", "endpoint"],
  ]);
  expect(of("refused", "admin")).toEqual([
    [undefined, undefined, "missing"],
    ["an-agent", "token-2", "expired"],
  ]);

  const output = [server.program, agent, refused].flatMap(({ lines }) => lines.map(({ text }) => text));
  const everything = [...output, ...shown, ...processes, status.stdout, status.stderr].join("\n");
  for (const hidden of [SECRET, good, expired, forged]) {
    expect(everything).not.toContain(hidden);
    // Nor its signature by itself.
    expect(everything).not.toContain(hidden.split(".").at(-1));
  }
  await eventually(() => service.requests.length === 1, "one request at the service");
});
