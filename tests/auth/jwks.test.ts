// A JWKS whose source is down, slow, wrong, large or flooded with requests, and a JWKS in a file. These tests mostly wait for
// the pause between two fetches, so they run concurrently.

import { rename, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createCertificates } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { eventually } from "../harness/deadline.js";
import { metric, untilMetric } from "../harness/metrics.js";
import { type RunningServer, startServer } from "../harness/piko.js";
import { ownStage, type Stage } from "../harness/stage.js";
import { ecPair, inSeconds, jwkOf, type KeyPair, rsaPair, token } from "../harness/tokens.js";
import { haveTools } from "../harness/tools.js";

/** The status and error of a request with this token. */
async function ask(
  server: RunningServer,
  credential: string | undefined,
  signal?: AbortSignal,
): Promise<string> {
  const headers = {
    "x-piko-endpoint": "web",
    ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }),
  };
  const response = await fetch(`http://${server.proxy}/sum`, {
    headers,
    ...(signal === undefined ? {} : { signal }),
  });
  return `${response.status} ${((await response.json()) as { error: string }).error}`;
}

/** The token was accepted; no agent listens on the endpoint. */
const reached = "502 no available upstreams";
const invalid = "401 invalid token";
const unready = "503 authentication is not ready";
const busy = "503 too many tokens wait to be verified";

/**
 * A short timeout, for tests in which silence must soon count as a failure. In other tests, a busy machine could exceed it
 * and cause another fetch.
 */
const IMPATIENT = { "proxy.auth.jwks.timeout": "500ms" };

/** A token that is different each time. */
const signed = (pair: KeyPair, kid: string): string =>
  token("RS256", pair.privateKey, { exp: inSeconds(1_800), jti: `${Math.random()}` }, { kid });

const keysOf = (named: Record<string, KeyPair>): unknown[] =>
  Object.entries(named).map(([kid, pair]) => jwkOf(pair, { kid }));

/** Ways to fail to publish a key set, and the error that the server logs for each. */
const WRONG: readonly (readonly [name: string, answer: RequestListener, error: string])[] = [
  [
    "redirects",
    (_, response) => response.writeHead(302, { location: "/other" }).end(),
    "status 302 (redirects are not followed)",
  ],
  ["doesn't answer", () => {}, "no answer within 500 ms"],
  ["never ends its answer", (_, response) => void response.write('{"keys":['), "no answer within 500 ms"],
  ["replies 500", (_, response) => response.writeHead(500).end("{}"), "status 500"],
  ["closes the connection", (request) => void request.socket.destroy(), "socket hang up"],
  ["sends garbage", (_, response) => response.end("<html>no keys</html>"), "key set is not JSON"],
  ["sends no keys", (_, response) => response.end('{"keys":[]}'), "key set has no key that verifies"],
  ["sends 10 MB", (_, response) => response.end("x".repeat(10_000_000)), "larger than 1048576 bytes"],
  [
    "sends 1,001 keys",
    (_, response) => response.end(JSON.stringify({ keys: Array.from({ length: 1_001 }, () => ({})) })),
    "too many keys: 1001",
  ],
];

/** Three ways for each server, so that the waits before its next fetches are only one, two and four seconds. */
const GROUPS = [0, 3, 6].map((from) => {
  const ways = WRONG.slice(from, from + 3);
  return [ways.map(([name]) => name).join(", then "), ways] as const;
});

/** Publishes keys, or gives another answer if one is set. */
class Publisher {
  keys: unknown[] = [];
  asked = 0;
  answer: RequestListener | undefined = undefined;
  readonly url: string;

  private constructor(url: string) {
    this.url = url;
  }

  static async start(
    scene: Stage,
    files?: { readonly cert: string; readonly key: string },
  ): Promise<Publisher> {
    const server = files === undefined ? createServer() : createTlsServer(files);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    scene.defer(() => {
      server.close();
      server.closeAllConnections();
    });
    const { port } = server.address() as AddressInfo;
    const publisher = new Publisher(`${files === undefined ? "http" : "https"}://127.0.0.1:${port}/keys`);
    server.on("request", (request, response) => {
      publisher.asked++;
      if (publisher.answer !== undefined) publisher.answer(request, response);
      else response.end(JSON.stringify({ keys: publisher.keys }));
    });
    return publisher;
  }
}

async function startWith(
  scene: Stage,
  { url }: Publisher,
  flags: Record<string, string> = {},
  env: Record<string, string> = {},
): Promise<RunningServer> {
  const settings = { "proxy.auth.jwks.endpoint": url, ...flags };
  return await startServer(scene, settings, env);
}

const isReady = async (server: RunningServer): Promise<boolean> =>
  (await fetch(`http://${server.admin}/ready`)).ok;

/** Waits until the server has logged this message and error about its keys. */
async function untilLogged(server: RunningServer, message: string, error: string, from = 0): Promise<void> {
  await server.program.waitForLine(
    ({ fields, text }) => fields["msg"] === message && text.includes(error),
    `${message}: ${error}`,
    { from },
  );
}

describe.concurrent("if a JWKS can't be fetched at the start, the server isn't ready and replies 503 to everyone until it can", () => {
  it.for(GROUPS)("because its publisher %s", async ([, ways], context) => {
    const scene = ownStage(context);
    const publisher = await Publisher.start(scene);
    const pair = rsaPair();
    publisher.keys = keysOf({ k: pair });
    publisher.answer = ways[0]?.[1];
    const server = await startWith(scene, publisher, IMPATIENT);
    let from = 0;
    for (const [, answer, error] of ways) {
      publisher.answer = answer;
      await untilLogged(server, "could not get keys, no token is accepted", error, from);
      from = server.program.lines.length;
      expect(await isReady(server)).toBe(false);
      for (const credential of [undefined, "x", signed(pair, "k"), signed(pair, "other")])
        expect(await ask(server, credential)).toBe(unready);
    }
    publisher.answer = undefined;
    await eventually(() => isReady(server), "readiness");
    expect([await ask(server, signed(pair, "k")), await ask(server, undefined)]).toEqual([
      reached,
      "401 missing authorization",
    ]);
  });
});

describe.concurrent("if a JWKS can't be fetched later, the last one is still used, and its age is shown", () => {
  it.for(GROUPS)("because its publisher %s", async ([, ways], context) => {
    const scene = ownStage(context);
    const publisher = await Publisher.start(scene);
    const pair = rsaPair();
    publisher.keys = keysOf({ k: pair });
    const server = await startWith(scene, publisher, { ...IMPATIENT, "proxy.auth.jwks.cache-ttl": "1s" });
    await eventually(() => isReady(server), "readiness");
    for (const [, answer, error] of ways) {
      let from = server.program.lines.length;
      publisher.answer = answer;
      await untilLogged(server, "could not get keys, still using the previous ones", error, from);
      expect(await ask(server, signed(pair, "k"))).toBe(reached);
      // The server can't know whether there is such a key by now.
      expect(await ask(server, signed(rsaPair(), "new"))).toBe(unready);
      const age = 'piko_auth_jwks_age_seconds{section="proxy.auth"}';
      await eventually(async () => ((await metric(server.admin, age)) ?? 0) > 1, "age");
      from = server.program.lines.length;
      publisher.answer = undefined;
      // Up to the maximum wait between two attempts, if the machine was busy meanwhile.
      await server.program.waitFor("keys are available again", { from, ms: 90_000 });
      expect([await isReady(server), await ask(server, signed(pair, "k"))]).toEqual([true, reached]);
    }
  });
});

describe.concurrent("a JWKS", () => {
  it("is waited for if it is slow", async (context) => {
    const scene = ownStage(context);
    const publisher = await Publisher.start(scene);
    const [old, next] = [rsaPair(), rsaPair()];
    publisher.keys = keysOf({ old });
    publisher.answer = (_, response) => {
      // In three parts, within the timeout.
      const body = JSON.stringify({ keys: publisher.keys });
      response.write(body.slice(0, 20));
      setTimeout(() => response.write(body.slice(20, 40)), 150);
      setTimeout(() => response.end(body.slice(40)), 300);
    };
    const server = await startWith(scene, publisher);
    await eventually(() => isReady(server), "readiness");
    publisher.keys = keysOf({ old, next });
    const answers = [signed(old, "old"), signed(next, "next")].map((each) => ask(server, each));
    expect(await Promise.all(answers)).toEqual([reached, reached]);
  });

  it("is fetched for a key id that isn't known, while the requests wait; two keys with the same id are both tried", async (context) => {
    const scene = ownStage(context);
    const publisher = await Publisher.start(scene);
    const [old, next, last] = [rsaPair(), rsaPair(), rsaPair()];
    publisher.keys = keysOf({ old });
    const server = await startWith(scene, publisher);
    await eventually(() => isReady(server), "readiness");
    const crowd = async (pair: KeyPair, kid: string): Promise<Set<string>> =>
      new Set(await Promise.all(Array.from({ length: 50 }, () => ask(server, signed(pair, kid)))));
    publisher.keys = [...keysOf({ old, next }), jwkOf(rsaPair(), { kid: "next" })];
    expect(await crowd(next, "next")).toEqual(new Set([reached]));
    publisher.keys = keysOf({ next, last });
    // The last fetch was only just now: these requests wait until ten seconds have passed since then.
    const waiting = crowd(last, "last");
    expect(await ask(server, signed(old, "old"))).toBe(reached);
    expect(await waiting).toEqual(new Set([reached]));
    expect(publisher.asked).toBeLessThanOrEqual(4);
  });

  it("is fetched at most once in ten seconds during a flood of unknown key ids, and other requests aren't delayed", async (context) => {
    const scene = ownStage(context);
    const publisher = await Publisher.start(scene);
    const [old, next] = [rsaPair(), rsaPair()];
    publisher.keys = keysOf({ old });
    const server = await startWith(scene, publisher, { "proxy.auth.max-pending": "80" });
    await eventually(() => isReady(server), "readiness");
    const answers = new Map<string, number>();
    const flooding = new AbortController();
    const startMs = performance.now();
    // One when the server starts, one for the flood's first key id, and then one every ten seconds.
    const allowed = (): number => 2 + Math.floor((performance.now() - startMs) / 10_000);
    const lanes = Promise.allSettled(
      Array.from({ length: 70 }, async (_, lane) => {
        for (let n = 0; ; n++) {
          const answer = await ask(server, signed(old, `${lane} ${n}`), flooding.signal);
          answers.set(answer, (answers.get(answer) ?? 0) + 1);
          // Waits as the answer asks, although not as long.
          if (answer === busy) await delay(100);
        }
      }),
    );
    await untilMetric(server.admin, 'piko_auth_pending{port="proxy"}', 60);
    // Tokens with a known key id are accepted meanwhile, even new ones.
    for (let n = 0; n < 50; n++) expect(await ask(server, signed(old, "old"))).toBe(reached);
    expect(publisher.asked, server.program.tail()).toBeLessThanOrEqual(allowed());
    // A key that is published meanwhile is found by the fetch that the flood causes.
    publisher.keys = keysOf({ old, next });
    await eventually(async () => (await ask(server, signed(next, "next"))) === reached, "the new key");
    await eventually(() => (answers.get(invalid) ?? 0) >= 60, "refusals");
    expect(publisher.asked, server.program.tail()).toBeLessThanOrEqual(allowed());
    flooding.abort();
    await lanes;
    expect([...answers.keys()].sort()).toEqual([invalid, busy]);
  });

  it("with a thousand large keys is read without delaying requests", async (context) => {
    const scene = ownStage(context);
    const publisher = await Publisher.start(scene);
    const [small, large] = [rsaPair(), ecPair("P-521")];
    publisher.keys = keysOf({ small });
    const server = await startWith(scene, publisher, { "proxy.auth.jwks.cache-ttl": "5s" });
    await eventually(() => isReady(server), "readiness");
    const many = Array.from({ length: 999 }, (_, n) => jwkOf(large, { kid: `${n}` }));
    publisher.keys = [...keysOf({ small }), ...many];
    await eventually(() => publisher.asked === 2, "another fetch");
    const read = (): boolean =>
      server.program.lines.filter(({ fields }) => fields["msg"] === "keys read").length === 2;
    const known = signed(small, "small");
    let answered = 0;
    while (!read()) {
      expect(await ask(server, known)).toBe(reached);
      answered++;
    }
    // Reading takes about three seconds in total: some 250 turns, each of which may answer one request.
    expect(answered).toBeGreaterThan(25);
    const last = token("ES512", large.privateKey, { exp: inSeconds(60) }, { kid: "998" });
    expect([await ask(server, last), await ask(server, known)]).toEqual([reached, reached]);
  });

  it.runIf(haveTools("openssl"))(
    "comes over https from a server that a trusted authority vouches for",
    async (context) => {
      const scene = ownStage(context);
      using files = createCertificates();
      const pair = rsaPair();
      const publisher = await Publisher.start(scene, {
        cert: files.read(files.serverCert),
        key: files.read(files.serverKey),
      });
      publisher.keys = keysOf({ k: pair });
      const trusting = await startWith(scene, publisher, {}, { NODE_EXTRA_CA_CERTS: files.caCert });
      await eventually(() => isReady(trusting), "readiness");
      expect(await ask(trusting, signed(pair, "k"))).toBe(reached);
      expect(trusting.program.lines.filter(({ text }) => text.includes("plain http"))).toEqual([]);
      const asked = publisher.asked;
      const other = await startWith(scene, publisher);
      await untilLogged(other, "could not get keys, no token is accepted", "certificate");
      expect([await isReady(other), await ask(other, signed(pair, "k"))]).toEqual([false, unready]);
      expect(publisher.asked).toBe(asked);
    },
  );

  it("in a file is watched", async (context) => {
    const scene = ownStage(context);
    const path = join(await scene.directory(), "keys.json");
    const replace = async (text: string): Promise<void> => {
      await writeFile(`${path}.new`, text);
      await rename(`${path}.new`, path);
    };
    const [old, next] = [rsaPair(), ecPair()];
    await writeFile(path, JSON.stringify({ keys: keysOf({ old }) }));
    const server = await startServer(scene, { "proxy.auth.jwks.endpoint": `file://${path}` });
    expect(await ask(server, signed(old, "old"))).toBe(reached);
    await replace(JSON.stringify({ keys: keysOf({ next }) }));
    const good = token("ES256", next.privateKey, { exp: inSeconds(60) }, { kid: "next" });
    expect(await ask(server, good)).toBe(reached);
    expect(await ask(server, signed(old, "old"))).toBe(invalid);
    await replace("{");
    await server.program.waitFor("could not get keys, still using the previous ones");
    expect(await ask(server, good)).toBe(reached);
  });
});
