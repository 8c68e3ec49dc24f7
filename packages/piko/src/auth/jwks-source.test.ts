// Where a key set comes from: what is rejected as a key set, when it is fetched again, and which keys are used meanwhile.

import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "@piko/testkit";
import { systemClock } from "@piko/tunnel";
import { afterEach, describe, expect, it } from "vitest";
import { RecordedLog } from "../../test/recorded-log.js";
import { fetchJwks } from "./fetch-jwks.js";
import { JwksSource } from "./jwks-source.js";

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).reverse()) cleanUp();
});

async function publish(answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUps.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys?x=1`;
}

const never = new AbortController().signal;
const get = async (url: string, ms = 5_000): Promise<string> =>
  (await fetchJwks(new URL(url), ms, systemClock, never)).toString();

describe("a fetch", () => {
  it("requests the address unchanged, and accepts up to 1 MiB", async () => {
    const url = await publish((request, response) => response.end(request.url?.padEnd(1_048_576, " ")));
    expect((await get(url)).trimEnd()).toBe("/keys?x=1");
  });

  it.each<[string, RequestListener, string]>([
    [
      "a redirect",
      (_, response) => response.writeHead(301, { location: "/keys" }).end(),
      "redirects are not followed",
    ],
    ["an error", (_, response) => response.writeHead(500).end("{}"), "status 500"],
    ["an empty answer", (_, response) => response.writeHead(204).end(), "status 204"],
    ["too many bytes", (_, response) => response.end("x".repeat(1_048_577)), "larger than 1048576 bytes"],
    [
      "an endless answer",
      (_, response) => void setInterval(() => response.write("x"), 5).unref(),
      "no answer within 200 ms",
    ],
    ["no answer", () => {}, "no answer within 200 ms"],
    [
      "half an answer",
      (_, response) =>
        void response.writeHead(200, { "content-length": "9" }).write("x", () => response.destroy()),
      "closed before the answer was complete",
    ],
    ["a closed connection", (request) => request.socket.destroy(), "socket hang up"],
  ])("fails at %s", async (_name, answer, message) => {
    await expect(get(await publish(answer), 200)).rejects.toThrow(message);
  });

  it("fails if nothing listens at the address", async () => {
    const url = await publish(() => {});
    cleanUps.splice(0).forEach((cleanUp) => cleanUp());
    await expect(get(url)).rejects.toThrow("ECONNREFUSED");
  });
});

const jwk = (kid: string): object => ({
  ...generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" }),
  kid,
});

/** Resolves to whether the source could be asked. */
const lookFor = (source: JwksSource, keyId: string): Promise<boolean> =>
  new Promise((resolve) => source.lookFor({ keyId, onSearchEnd: resolve }));

class Rig {
  readonly clock = new FakeClock();
  readonly log = new RecordedLog();
  source!: JwksSource;
  keys: object[] = [];
  down = false;
  /** Responses are held back until it resolves. */
  gate: Promise<void> = Promise.resolve();
  asked = 0;
  changes = 0;

  static async start(down = false): Promise<Rig> {
    const rig = new Rig();
    rig.down = down;
    rig.keys = [jwk("one")];
    const endpoint = await publish((_, response) => {
      rig.asked++;
      // The response has the keys that are current at the request.
      const body = JSON.stringify({ keys: rig.keys });
      void rig.gate.then(() => response.writeHead(rig.down ? 500 : 200).end(body));
    });
    rig.source = await JwksSource.open({
      config: { endpoint, cacheTtlMs: 100_000, timeoutMs: 0 },
      section: "proxy.auth",
      clock: rig.clock,
      logger: rig.log.logger,
      onChange: () => void rig.changes++,
    });
    cleanUps.push(() => rig.source.close());
    await rig.settled();
    return rig;
  }

  /** Waits for the fetch in progress. */
  async settled(): Promise<void> {
    await this.source.fetching;
  }

  async after(ms: number): Promise<number> {
    const before = this.asked;
    this.clock.advance(ms);
    await this.settled();
    return this.asked - before;
  }

  lookFor(keyId: string): Promise<boolean> {
    return lookFor(this.source, keyId);
  }

  get names(): readonly (string | undefined)[] | undefined {
    return this.source.keys?.keys.map(({ keyId }) => keyId);
  }
}

describe("a key set", () => {
  it("is fetched again before it expires, and is reported as changed only if it differs", async () => {
    const rig = await Rig.start();
    expect([rig.names, rig.changes]).toEqual([["one"], 1]);
    expect([await rig.after(79_999), await rig.after(1)]).toEqual([0, 1]);
    expect([rig.changes, rig.source.ageMs]).toEqual([1, 0]);
    rig.keys = [jwk("two")];
    expect([await rig.after(80_000), rig.names, rig.changes]).toEqual([1, ["two"], 2]);
  });

  it("that can't be fetched is requested again after 1, 2, 4, 5 and 5 seconds", async () => {
    const rig = await Rig.start(true);
    for (const ms of [1_000, 2_000, 4_000, 5_000, 5_000]) {
      expect([await rig.after(ms - 1), await rig.after(1), rig.names]).toEqual([0, 1, undefined]);
    }
    rig.down = false;
    expect([await rig.after(5_000), rig.names, rig.changes]).toEqual([1, ["one"], 1]);
  });

  it("remains in use while its source is down, and its age grows", async () => {
    const rig = await Rig.start();
    rig.down = true;
    expect(await rig.after(80_000)).toBe(1);
    for (const ms of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
      expect(await rig.after(ms)).toBe(1);
    expect([rig.names, rig.source.ageMs, rig.changes]).toEqual([["one"], 263_000, 1]);
  });

  it("in a file that changes is read again, also because of an unknown key", async () => {
    const path = join(mkdtempSync(join(tmpdir(), "piko-jwks-")), "keys.json");
    cleanUps.push(() => rmSync(path));
    const write = (...names: string[]): void => writeFileSync(path, JSON.stringify({ keys: names.map(jwk) }));
    write("one");
    const { clock, log } = new Rig();
    let changes = 0;
    const source = await JwksSource.open({
      config: { endpoint: `file://${path}`, cacheTtlMs: 0, timeoutMs: 0 },
      section: "proxy.auth",
      clock,
      logger: log.logger,
      onChange: () => void changes++,
    });
    cleanUps.push(() => source.close());
    const names = (): unknown => source.keys?.keys.map(({ keyId }) => keyId);
    expect([names(), changes]).toEqual([["one"], 1]);
    write("two");
    clock.advance(1_000);
    expect([await lookFor(source, "two"), names()]).toEqual([true, ["two"]]);
    clock.advance(1_000);
    expect([await lookFor(source, "three"), source.lacks("three")]).toEqual([true, true]);
    // The file may be read again soon: that costs no one else anything.
    write("two", "three");
    const answer = lookFor(source, "three");
    clock.advance(1_000);
    expect([await answer, names(), source.lacks("three")]).toEqual([true, ["two", "three"], false]);
    writeFileSync(path, "{");
    clock.advance(1_000);
    expect([await lookFor(source, "four"), names(), source.lacks("four")]).toEqual([
      false,
      ["two", "three"],
      false,
    ]);
  });

  it("is no longer fetched after its source was closed", async () => {
    const rig = await Rig.start();
    rig.source.close();
    expect(rig.clock.pending).toBe(0);
  });
});

describe("an unknown key", () => {
  it("is requested at once, but at most every ten seconds; further tokens wait for the next fetch", async () => {
    const rig = await Rig.start();
    rig.keys = [jwk("one"), jwk("two")];
    // The previous fetch wasn't made for a key.
    expect([await rig.lookFor("two"), rig.names, rig.asked]).toEqual([true, ["one", "two"], 2]);
    rig.keys = [jwk("three")];
    const crowd = Array.from({ length: 20 }, () => rig.lookFor("three"));
    expect(await rig.after(9_999)).toBe(0);
    expect(await rig.after(1)).toBe(1);
    expect(new Set(await Promise.all(crowd))).toEqual(new Set([true]));
    expect(rig.names).toEqual(["three"]);
  });

  it("is looked for by a fetch that begins after its token arrived: it may have been published since the last one", async () => {
    const rig = await Rig.start();
    let open = (): void => {};
    rig.gate = new Promise((resolve) => {
      open = resolve;
    });
    const first = rig.lookFor("two");
    while (rig.asked < 2) await new Promise((resolve) => setImmediate(resolve));
    rig.keys = [jwk("two")];
    const second = rig.lookFor("two");
    open();
    expect([await first, rig.names]).toEqual([true, ["one"]]);
    expect(await rig.after(10_000)).toBe(1);
    expect([await second, rig.names]).toEqual([true, ["two"]]);
  });

  it("is found by a fetch that began before, too", async () => {
    const rig = await Rig.start();
    rig.keys = [jwk("two")];
    const first = rig.lookFor("two");
    const second = rig.lookFor("two");
    expect([await first, await second, rig.asked, rig.clock.now()]).toEqual([true, true, 2, 0]);
  });

  it("that no one waits for any more is still looked for at most every ten seconds", async () => {
    const rig = await Rig.start();
    const seeker = { keyId: "two", onSearchEnd: (): void => void expect.unreachable() };
    for (let seconds = 0; seconds < 29; seconds++) {
      rig.source.lookFor(seeker);
      rig.source.forget(seeker);
      await rig.after(1_000);
    }
    // At 0, 10 and 20 seconds.
    expect(rig.asked - 1).toBe(3);
  });

  it("that its source lacks is rejected without another fetch for ten seconds, unlike other keys", async () => {
    const rig = await Rig.start();
    expect(await rig.lookFor("two")).toBe(true);
    expect([rig.source.lacks("two"), rig.source.lacks("three")]).toEqual([true, false]);
    rig.clock.advance(9_999);
    expect(rig.source.lacks("two")).toBe(true);
    rig.clock.advance(1);
    expect(rig.source.lacks("two")).toBe(false);
    rig.keys = [jwk("two")];
    expect([await rig.lookFor("two"), rig.names, rig.source.lacks("two")]).toEqual([true, ["two"], false]);
  });

  it("isn't judged while its source is down, but with the first successful fetch after that", async () => {
    const rig = await Rig.start();
    rig.down = true;
    expect([await rig.lookFor("two"), rig.source.lacks("two")]).toEqual([false, false]);
    rig.down = false;
    rig.keys = [jwk("two")];
    const answer = rig.lookFor("two");
    // A failed fetch is retried after a second; it doesn't have to wait for ten.
    expect(await rig.after(1_000)).toBe(1);
    expect([await answer, rig.names]).toEqual([true, ["two"]]);
  });

  it("is remembered only with about a thousand others, and if its name is short", async () => {
    const rig = await Rig.start();
    await rig.lookFor("the first");
    const long = "x".repeat(257);
    const names = [long, ...Array.from({ length: 1_025 }, (_, n) => `${n}`)];
    const answers = names.map((name) => rig.lookFor(name));
    expect(await rig.after(10_000)).toBe(1);
    expect(new Set(await Promise.all(answers))).toEqual(new Set([true]));
    const lacking = names.filter((name) => rig.source.lacks(name));
    expect(lacking).toEqual(names.slice(1, 1_025));
  });

  it("is no longer waited for when its source is closed", async () => {
    const rig = await Rig.start();
    const answers = [rig.lookFor("two"), rig.lookFor("three")];
    rig.source.close();
    answers.push(rig.lookFor("two"));
    expect(await Promise.all(answers)).toEqual([false, false, false]);
    expect(rig.clock.pending).toBe(0);
  });
});
