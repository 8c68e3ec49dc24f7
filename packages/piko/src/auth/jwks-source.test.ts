// Where a key set comes from: what is not taken for one, when it is asked for again, and what counts meanwhile.

import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { generateKeyPairSync } from "node:crypto";
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
  it("asks for the address as it is, and takes up to 1 MiB", async () => {
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
      "closed without a whole answer",
    ],
    ["a closed connection", (request) => request.socket.destroy(), "socket hang up"],
  ])("fails at %s", async (_name, answer, message) => {
    await expect(get(await publish(answer), 200)).rejects.toThrow(message);
  });

  it("fails where nobody listens", async () => {
    const url = await publish(() => {});
    cleanUps.splice(0).forEach((cleanUp) => cleanUp());
    await expect(get(url)).rejects.toThrow("ECONNREFUSED");
  });
});

const jwk = (kid: string): object => ({
  ...generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" }),
  kid,
});

class Rig {
  readonly clock = new FakeClock();
  readonly log = new RecordedLog();
  source!: JwksSource;
  keys: object[] = [];
  down = false;
  asked = 0;
  changes = 0;

  static async start(down = false): Promise<Rig> {
    const rig = new Rig();
    rig.down = down;
    rig.keys = [jwk("one")];
    const endpoint = await publish((_, response) => {
      rig.asked++;
      response.writeHead(rig.down ? 500 : 200).end(JSON.stringify({ keys: rig.keys }));
    });
    rig.source = new JwksSource({
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

  /** Waits for the fetch under way. */
  async settled(): Promise<void> {
    await this.source.refresh();
  }

  async after(ms: number): Promise<number> {
    const before = this.asked;
    this.clock.advance(ms);
    // A fetch that has begun is found by this one; otherwise it would begin one only behind ten seconds.
    if (this.source.fetching) await this.settled();
    return this.asked - before;
  }

  get names(): readonly (string | undefined)[] | undefined {
    return this.source.keys?.keys.map(({ keyId }) => keyId);
  }
}

describe("a key set", () => {
  it("is asked for ahead of its end, and counts anew only if it is another", async () => {
    const rig = await Rig.start();
    expect([rig.names, rig.changes]).toEqual([["one"], 1]);
    expect([await rig.after(79_999), await rig.after(1)]).toEqual([0, 1]);
    expect([rig.changes, rig.source.ageMs]).toEqual([1, 0]);
    rig.keys = [jwk("two")];
    expect([await rig.after(80_000), rig.names, rig.changes]).toEqual([1, ["two"], 2]);
  });

  it("that can't be had is asked for after 1, 2, 4, 5 and 5 seconds", async () => {
    const rig = await Rig.start(true);
    for (const ms of [1_000, 2_000, 4_000, 5_000, 5_000]) {
      expect([await rig.after(ms - 1), await rig.after(1), rig.names]).toEqual([0, 1, undefined]);
    }
    rig.down = false;
    expect([await rig.after(5_000), rig.names, rig.changes]).toEqual([1, ["one"], 1]);
  });

  it("that goes down counts on, and grows old", async () => {
    const rig = await Rig.start();
    rig.down = true;
    expect(await rig.after(80_000)).toBe(1);
    for (const ms of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
      expect(await rig.after(ms)).toBe(1);
    expect([rig.names, rig.source.ageMs, rig.changes]).toEqual([["one"], 263_000, 1]);
  });

  it("is asked for once in ten seconds because of keys that aren't known", async () => {
    const rig = await Rig.start();
    const crowd = (): Promise<unknown> => Promise.all(Array.from({ length: 20 }, () => rig.source.refresh()));
    await crowd();
    expect(rig.asked).toBe(1);
    rig.clock.advance(10_000);
    await crowd();
    await crowd();
    expect(rig.asked).toBe(2);
  });

  it("is no longer asked for when nobody needs it", async () => {
    const rig = await Rig.start();
    rig.source.close();
    expect(rig.clock.pending).toBe(0);
  });
});
