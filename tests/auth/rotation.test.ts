// Keys that are rotated, tokens that are replaced, and tenants that are added and removed under load: no request fails, and
// no stream that ends within the grace period is cut. These tests mostly wait, so they run concurrently.

import { rename, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect } from "vitest";
import { eventually } from "../harness/deadline.js";
import { LONG, together } from "../harness/long-run.js";
import { untilMetric } from "../harness/metrics.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import type { Program } from "../harness/program.js";
import { ownStage } from "../harness/stage.js";
import { inSeconds, jwkOf, type KeyPair, rsaPair, token } from "../harness/tokens.js";
import { Traffic } from "../harness/traffic.js";
import { startTrafficService } from "../harness/traffic-service.js";

/** The short run leaves CPU time for the tests that run at the same time. */
const RATE = LONG ? 1 : 0.2;
/** 300 requests a second, and streams of about three seconds. */
const MIX = { get: 270 * RATE, post: 28 * RATE, events: 1, webSockets: 1 };
/** Timeouts of requests are the subject of other tests. Here they would only measure the machine. */
const AGENT = ["--access-log.disable", "--timeout", "1m"];
const SERVER = { "proxy.timeout": "1m", "proxy.access-log.disable": "true" };
/** Grace period of tunnels whose token is no longer valid: longer than a stream takes, even on a busy machine. */
const GRACE = { "upstream.auth.expiry-grace": "20s" };
/** Lifetime of a token that is replaced: longer than an agent takes to start, even on a busy machine. */
const TOKEN_S = 15;
/** Number of keys that a source publishes in turn. Each except the first two takes ten seconds. */
const ROLLS = LONG ? 4 : 3;
const PATIENT = { timeout: 120_000 };

async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

let made = 0;
/** Some ids are known, some are new. */
const id = (): { jti: string; exp: number } => ({ jti: `${made++ % 50}`, exp: inSeconds(600) });

/** Makes a change, and waits until a program has logged the message the given number of times. */
async function afterChange(
  program: Program,
  message: string,
  change: () => Promise<void>,
  times = 1,
): Promise<void> {
  const from = program.lines.length;
  await change();
  await eventually(
    () => program.lines.slice(from).filter(({ fields }) => fields["msg"] === message).length >= times,
    `${times} times "${message}"`,
  );
}

async function more(traffic: Traffic, requests: number): Promise<void> {
  const until = traffic.finished + requests;
  await eventually(() => traffic.finished >= until, `${requests} more requests`);
}

async function ended(traffic: Traffic): Promise<void> {
  const { counts, failures } = await traffic.stop();
  expect(failures).toEqual([]);
  console.info(JSON.stringify(counts));
  expect(counts["get"]).toBeGreaterThan(300);
  expect(Math.min(counts["events"] ?? 0, counts["webSockets"] ?? 0)).toBeGreaterThan(0);
}

together(
  "a secret is replaced, together with the tokens of clients and agents that use it",
  PATIENT,
  async (context) => {
    const scene = ownStage(context);
    const service = await startTrafficService(scene);
    const folder = await scene.directory();
    const [a, b, tokenFile] = [join(folder, "a"), join(folder, "b"), join(folder, "token")];
    await replace(a, "the old secret\n");
    await replace(b, "the old secret\n");
    await replace(tokenFile, token("HS256", "the old secret", id()));
    const files = `${a},${b}`;
    const server = await startServer(scene, {
      ...SERVER,
      ...GRACE,
      "proxy.auth.hmac-secret-key-files": files,
      "upstream.auth.hmac-secret-key-files": files,
    });
    const agent = await startAgent(scene, server.upstream, "web", service, {
      flags: [...AGENT, "--connect.token-file", tokenFile],
    });
    let secret = "the old secret";
    const credential = (): string => `Bearer ${token("HS256", secret, id())}`;
    const traffic = Traffic.start(scene, server.proxy, "web", MIX, undefined, credential);
    await more(traffic, 100);
    // Both ports watch both files.
    await afterChange(server.program, "key changed", () => replace(b, "the next secret\n"), 2);
    secret = "the next secret";
    await afterChange(agent, "connected", () => replace(tokenFile, token("HS256", secret, id())));
    // The requests that began with the old token have finished.
    await traffic.settled();
    await afterChange(server.program, "key changed", () => replace(a, "the next secret\n"), 2);
    await more(traffic, 300);
    await ended(traffic);
    expect((await status(server, token("HS256", "the old secret", id()))).status).toBe(401);
    await untilMetric(server.admin, "piko_upstreams_connected_upstreams", 1);
  },
);

together(
  "a secret is removed while tunnels use it: streams in progress have the grace period",
  PATIENT,
  async (context) => {
    const scene = ownStage(context);
    const service = await startTrafficService(scene);
    const folder = await scene.directory();
    const [secret, tokenFile] = [join(folder, "secret"), join(folder, "token")];
    await replace(secret, "the old secret");
    await replace(tokenFile, token("HS256", "the old secret", id()));
    const server = await startServer(scene, {
      ...SERVER,
      ...GRACE,
      "upstream.auth.hmac-secret-key-file": secret,
    });
    const agent = await startAgent(scene, server.upstream, "web", service, {
      flags: [...AGENT, "--connect.token-file", tokenFile],
    });
    const traffic = Traffic.start(scene, server.proxy, "web", MIX);
    await more(traffic, 100);
    // The next token is there before the server notices that the old one is invalid. Requests wait until the new token's
    // tunnel is open.
    const from = agent.lines.length;
    await replace(tokenFile, token("HS256", "the next secret", id()));
    await afterChange(server.program, "upstream token is no longer valid", () =>
      replace(secret, "the next secret"),
    );
    await agent.waitFor("connected", { from });
    await more(traffic, 300);
    await ended(traffic);
  },
);

together("an agent's token is replaced before it expires", PATIENT, async (context) => {
  const scene = ownStage(context);
  const service = await startTrafficService(scene);
  const tokenFile = join(await scene.directory(), "token");
  const create = (lifeS: number): string => token("HS256", "the secret", { ...id(), exp: inSeconds(lifeS) });
  await replace(tokenFile, create(TOKEN_S));
  const endMs = Date.now() + TOKEN_S * 1_000;
  const server = await startServer(scene, {
    ...SERVER,
    ...GRACE,
    "upstream.auth.hmac-secret-key": "the secret",
  });
  const agent = await startAgent(scene, server.upstream, "web", service, {
    flags: [...AGENT, "--connect.token-file", tokenFile],
  });
  const traffic = Traffic.start(scene, server.proxy, "web", MIX);
  await afterChange(agent, "connected", () => replace(tokenFile, create(600)));
  await more(traffic, 300);
  // The first tunnel is closed by now, or is closed now that its token expires.
  await eventually(() => Date.now() > endMs, "the end of the first token");
  await ended(traffic);
  await untilMetric(server.admin, "piko_upstreams_connected_upstreams", 1);
});

together(
  "a JWKS is rotated at its source, and new keys are used as soon as they are published",
  PATIENT,
  async (context) => {
    const scene = ownStage(context);
    const service = await startTrafficService(scene);
    const pairs = Array.from({ length: ROLLS }, () => rsaPair());
    let published: Record<string, KeyPair> = {};
    const source = createServer((_, response) => {
      const keys = Object.entries(published).map(([kid, pair]) => jwkOf(pair, { kid }));
      // Delayed: the keys are slightly out of date when they arrive.
      setTimeout(() => response.end(JSON.stringify({ keys })), 200);
    }).listen(0, "127.0.0.1");
    await once(source, "listening");
    scene.defer(() => {
      source.close();
      source.closeAllConnections();
    });
    const [first] = pairs;
    if (first === undefined) throw new Error("no pair");
    published = { 0: first };
    const server = await startServer(scene, {
      ...SERVER,
      "proxy.auth.jwks.endpoint": `http://127.0.0.1:${(source.address() as AddressInfo).port}/`,
    });
    await startAgent(scene, server.upstream, "web", service, { flags: AGENT });
    await eventually(async () => (await fetch(`http://${server.admin}/ready`)).ok, "readiness");
    let [kid, pair] = ["0", first];
    const credential = (): string => `Bearer ${token("RS256", pair.privateKey, id(), { kid })}`;
    const traffic = Traffic.start(scene, server.proxy, "web", MIX, undefined, credential);
    await more(traffic, 100);
    // Each key is used at once. All but the first new one wait until ten seconds have passed since the last fetch.
    for (const [index, next] of pairs.slice(1).entries()) {
      published = { [kid]: pair, [index + 1]: next };
      [kid, pair] = [`${index + 1}`, next];
      await more(traffic, 100);
      await traffic.settled();
    }
    await ended(traffic);
  },
);

together("a JWKS in a file is rotated, and a tenant is added and removed", PATIENT, async (context) => {
  const scene = ownStage(context);
  const service = await startTrafficService(scene);
  const folder = await scene.directory();
  const [keys, yaml] = [join(folder, "keys.json"), join(folder, "server.yaml")];
  const [old, next] = [rsaPair(), rsaPair()];
  const publish = (named: Record<string, KeyPair>): Promise<void> =>
    replace(keys, JSON.stringify({ keys: Object.entries(named).map(([kid, pair]) => jwkOf(pair, { kid })) }));
  const tenants = (...ids: string[]): Promise<void> => {
    const lines = ids.map((each) => `    - {id: ${each}, auth: {hmac_secret_key: secret-${each}}}`);
    return replace(yaml, `upstream:\n  tenants:\n${lines.join("\n")}\n`);
  };
  await publish({ old });
  await tenants("a");
  const server = await startServer(scene, {
    ...SERVER,
    "config.path": yaml,
    "proxy.auth.jwks.endpoint": `file://${keys}`,
  });
  const flags = [...AGENT, "--connect.tenant-id", "a", "--connect.token", token("HS256", "secret-a", id())];
  const agent = await startAgent(scene, server.upstream, "web", service, { flags });
  let [kid, pair] = ["old", old];
  const credential = (): string => `Bearer ${token("RS256", pair.privateKey, id(), { kid })}`;
  const traffic = Traffic.start(scene, server.proxy, "web", MIX, undefined, credential);
  await afterChange(server.program, "keys read", () => publish({ old, next }));
  [kid, pair] = ["next", next];
  await afterChange(server.program, "tenants changed", () => tenants("a", "b"));
  await traffic.settled();
  await afterChange(server.program, "keys read", () => publish({ next }));
  await afterChange(server.program, "tenants changed", () => tenants("a"));
  await more(traffic, 300);
  await ended(traffic);
  expect(agent.lines.filter(({ fields }) => fields["msg"] === "connected")).toHaveLength(1);
});

async function status({ proxy }: RunningServer, credential: string): Promise<Response> {
  const headers = { "x-piko-endpoint": "web", authorization: `Bearer ${credential}` };
  return await fetch(`http://${proxy}/sum`, { headers });
}
