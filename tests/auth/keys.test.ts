// Keys that come and go while a server runs: in files, in a JWKS, and tokens that are revoked.

import { rename, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { eventually } from "../harness/deadline.js";
import { metric } from "../harness/metrics.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { ecPair, inSeconds, jwkOf, type KeyPair, rsaPair, token } from "../harness/tokens.js";

const scene = perTest();

async function ask(server: RunningServer, credential: string | undefined): Promise<string> {
  const headers = {
    "x-piko-endpoint": "web",
    ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }),
  };
  const response = await fetch(`http://${server.proxy}/sum`, { headers });
  const text = await response.text();
  return response.status === 200
    ? "200"
    : `${response.status} ${(JSON.parse(text) as { error: string }).error}`;
}

const hmac = (secret: string, more: object = {}): string =>
  token("HS256", secret, { exp: inSeconds(1_800), ...more });
const signed = (pair: KeyPair, kid?: string): string =>
  token(
    "RS256",
    pair.privateKey,
    { exp: inSeconds(1_800), jti: `${Math.random()}` },
    kid === undefined ? {} : { kid },
  );

/** Writes a file as Kubernetes and careful programs do: at once. */
async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

describe("a key in a file", () => {
  it("counts without its last line feed, and another one from when it is written", async () => {
    const service = await Service.start(scene);
    const path = join(await scene.directory(), "secret");
    await writeFile(path, "first\n");
    const flags = { "proxy.auth.hmac-secret-key-file": path, "upstream.auth.hmac-secret-key-file": path };
    const server = await startServer(scene, flags);
    const agent = await startAgent(scene, server.upstream, "web", service.addr, {
      flags: ["--connect.token", hmac("first")],
    });
    expect([await ask(server, hmac("first")), await ask(server, hmac("first\n"))]).toEqual([
      "200",
      "401 invalid token",
    ]);
    const from = agent.lines.length;
    await replace(path, "second");
    await eventually(
      async () => (await ask(server, hmac("first"))) === "401 invalid token",
      "the end of the first key",
    );
    // Its tunnel ends, too: its agent has no other token.
    await agent.waitForLine(({ text }) => text.includes("invalid token"), "a refusal", { from });
    expect(await ask(server, hmac("second"))).toMatch(/^502/);
    await replace(path, "");
    await server.program.waitForLine(({ text }) => text.includes("could not use key"), "a warning");
    expect(await ask(server, hmac("second"))).toMatch(/^502/);
    for (const { text } of server.program.lines) expect(text).not.toMatch(/first|second/);
  });

  it("that is none ends the start with its name", async () => {
    const path = join(await scene.directory(), "key");
    await writeFile(path, ecPair().pem);
    await expect(startServer(scene, { "proxy.auth.rsa-public-key-file": path })).rejects.toThrow(
      "proxy.auth.rsa_public_key_file: must be an RSA public key as PEM text (it is of another kind)",
    );
  });
});

it("a revoked token ends at once: its requests, and its tunnel", async () => {
  const service = await Service.start(scene);
  const path = join(await scene.directory(), "revoked");
  await writeFile(path, "");
  const auth = (port: string): Record<string, string> => ({
    [`${port}.auth.hmac-secret-key`]: "k",
    [`${port}.auth.revoked-file`]: path,
  });
  const server = await startServer(scene, { ...auth("proxy"), ...auth("upstream") });
  const flags = ["--connect.token", hmac("k", { sub: "the agent" })];
  const agent = await startAgent(scene, server.upstream, "web", service.addr, { flags });
  const mine = hmac("k", { jti: "mine" });
  const yours = hmac("k", { jti: "yours" });
  expect([await ask(server, mine), await ask(server, yours)]).toEqual(["200", "200"]);
  await replace(path, "mine\n");
  await eventually(async () => (await ask(server, mine)) === "401 invalid token", "the end of the token");
  expect(await ask(server, yours)).toBe("200");
  await replace(path, "mine\nthe agent\n");
  await server.program.waitFor("upstream token no longer counts");
  await agent.waitForLine(({ text }) => text.includes("401"), "a refusal");
  expect(await ask(server, yours)).toMatch(/^502/);
});

/** Publishes a key set, or whatever `answer` says. */
class Publisher {
  keys: unknown[] = [];
  asked = 0;
  answer: "keys" | "redirect" | "silent" | "error" = "keys";
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    server.on("request", (_request, response) => {
      this.asked++;
      if (this.answer === "keys") response.end(JSON.stringify({ keys: this.keys }));
      else if (this.answer === "redirect") response.writeHead(302, { location: "/other" }).end();
      else if (this.answer === "error") response.writeHead(500).end("{}");
    });
  }

  static async start(): Promise<Publisher> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    scene.defer(() => {
      server.close();
      server.closeAllConnections();
    });
    return new Publisher(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/keys`;
  }
}

async function startWith(publisher: Publisher, more: Record<string, string> = {}): Promise<RunningServer> {
  return await startServer(scene, {
    "proxy.auth.jwks.endpoint": publisher.url,
    "proxy.auth.jwks.timeout": "500ms",
    ...more,
  });
}

const isReady = async (server: RunningServer): Promise<boolean> =>
  (await fetch(`http://${server.admin}/ready`)).ok;
const reached = "502 no available upstreams";

describe("a JWKS", () => {
  it("that can't be had when the server starts: not ready, and 503 to everybody, until it can", async () => {
    const publisher = await Publisher.start();
    const pair = rsaPair();
    publisher.answer = "redirect";
    publisher.keys = [jwkOf(pair, { kid: "k" })];
    const server = await startWith(publisher);
    for (const [answer, error] of [
      ["redirect", "status 302 (redirects are not followed)"],
      ["silent", "no answer within 500 ms"],
    ] as const) {
      publisher.answer = answer;
      await server.program.waitForLine(
        ({ fields, text }) =>
          fields["msg"] === "could not get keys, nobody is let in" && text.includes(error),
        error,
        { ms: 30_000 },
      );
      expect(await isReady(server)).toBe(false);
      for (const credential of [undefined, "x", signed(pair, "k")]) {
        expect(await ask(server, credential)).toBe("503 authentication is not ready");
      }
    }
    publisher.answer = "keys";
    await eventually(() => isReady(server), "readiness", 30_000);
    expect([await ask(server, signed(pair, "k")), await ask(server, undefined)]).toEqual([
      reached,
      "401 missing authorization",
    ]);
  });

  it("that goes down later counts on, with its age", async () => {
    const publisher = await Publisher.start();
    const pair = rsaPair();
    publisher.keys = [jwkOf(pair, { kid: "k" })];
    const server = await startWith(publisher, { "proxy.auth.jwks.cache-ttl": "1s" });
    await eventually(() => isReady(server), "readiness");
    publisher.answer = "error";
    await server.program.waitFor("could not get keys, the last ones go on counting");
    expect(await ask(server, signed(pair, "k"))).toBe(reached);
    const age = 'piko_auth_jwks_age_seconds{section="proxy.auth"}';
    await eventually(async () => ((await metric(server.admin, age)) ?? 0) > 1, "age");
    publisher.answer = "keys";
    await server.program.waitFor("keys can be had again");
    expect(await isReady(server)).toBe(true);
  });

  it("is asked when a token names a key that is new, whose request waits; and not for each", async () => {
    const publisher = await Publisher.start();
    const [old, next] = [rsaPair(), rsaPair()];
    publisher.keys = [jwkOf(old, { kid: "old" })];
    const server = await startWith(publisher);
    await eventually(() => isReady(server), "readiness");
    publisher.keys = [
      jwkOf(old, { kid: "old" }),
      jwkOf(next, { kid: "next" }),
      jwkOf(rsaPair(), { kid: "next" }),
    ];
    const asked = publisher.asked;
    // The first fetch was just now: this waits for its ten seconds to be over.
    await eventually(
      async () => (await ask(server, signed(next, "next"))) === reached,
      "the new key",
      20_000,
    );
    const crowd = Array.from({ length: 200 }, (_, n) => ask(server, signed(next, `unknown ${n}`)));
    expect(new Set(await Promise.all(crowd))).toEqual(new Set(["401 invalid token"]));
    expect(publisher.asked - asked).toBe(1);
    expect(await ask(server, signed(old, "old"))).toBe(reached);
  });

  it("in a file is watched", async () => {
    const path = join(await scene.directory(), "keys.json");
    const [old, next] = [rsaPair(), ecPair()];
    await writeFile(path, JSON.stringify({ keys: [jwkOf(old, { kid: "old" })] }));
    const server = await startServer(scene, { "proxy.auth.jwks.endpoint": `file://${path}` });
    expect(await ask(server, signed(old, "old"))).toBe(reached);
    await replace(path, JSON.stringify({ keys: [jwkOf(next, { kid: "next" })] }));
    await eventually(
      async () => (await ask(server, signed(old, "old"))) === "401 invalid token",
      "the old key's end",
    );
    const good = token("ES256", next.privateKey, { exp: inSeconds(60) }, { kid: "next" });
    expect(await ask(server, good)).toBe(reached);
    await replace(path, "{");
    await server.program.waitFor("could not get keys, the last ones go on counting");
    expect(await ask(server, good)).toBe(reached);
  });
});
