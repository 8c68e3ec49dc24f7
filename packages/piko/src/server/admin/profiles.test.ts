import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { text } from "node:stream/consumers";
import { FakeClock } from "@piko/testkit";
import { systemClock } from "@piko/tunnel";
import { afterEach, describe, expect, it } from "vitest";
import { createRouteLimits, RouteServer } from "../../net/route-server.js";
import { Metrics } from "../../observability/metrics.js";
import { createSilentLogger } from "../../../test/silent-logger.js";
import { Profiles } from "./profiles.js";

let server: RouteServer | undefined;
afterEach(() => server?.close());

/** Serves the profiles' paths on loopback, with a clock that stands still. */
async function start(): Promise<{ port: number; clock: FakeClock }> {
  const clock = new FakeClock();
  const profiles = new Profiles(clock);
  const logger = createSilentLogger();
  const limits = createRouteLimits(new Metrics(), "limited_total", "test", logger, systemClock);
  server = new RouteServer({ name: "test", logger, limits, find: (path) => profiles.find(path) });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  return { port, clock };
}

async function ask(port: number, path: string): Promise<IncomingMessage> {
  const outgoing = request({ host: "127.0.0.1", port, path, agent: false }).end();
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  return response;
}

describe("a profile", () => {
  it.each([
    ["profile", "cpuprofile", ["nodes", "samples", "timeDeltas"]],
    ["heap", "heapprofile", ["head", "samples"]],
  ])("of %s is a .%s of the requested duration", async (name, kind, keys) => {
    const { clock, port } = await start();
    const response = await ask(port, `/debug/pprof/${name}?seconds=12`);
    expect(response.headers["content-disposition"]).toBe(`attachment; filename="piko.${kind}"`);
    for (const ms of [5_000, 5_000, 2_000]) {
      while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
      clock.advance(ms);
    }
    const body = await text(response);
    // A space was sent at each sign of life.
    expect(body).toMatch(/^ {3}\{/);
    expect(Object.keys(JSON.parse(body) as object)).toEqual(expect.arrayContaining(keys));
  });

  it("is taken one at a time, and ends when its client disconnects", async () => {
    const { clock, port } = await start();
    const first = await ask(port, "/debug/pprof/profile");
    const second = await ask(port, "/debug/pprof/heap");
    expect([second.statusCode, await text(second)]).toEqual([
      409,
      '{"error":"another profile is being taken"}\n',
    ]);
    first.destroy();
    for (;;) {
      const third = await ask(port, "/debug/pprof/heap?seconds=1");
      if (third.statusCode === 409) continue;
      while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
      clock.advance(1_000);
      await text(third);
      break;
    }
    clock.assertIdle();
  });

  it.each(["0", "-1", "1.5", "x", "301", ""])("of %j seconds is refused", async (seconds) => {
    const { port } = await start();
    expect((await ask(port, `/debug/pprof/profile?seconds=${seconds}`)).statusCode).toBe(400);
  });

  it.each(["", "/", "/heapsnapshot", "/goroutine"])("of path %j doesn't exist", async (path) => {
    const { port } = await start();
    expect((await ask(port, `/debug/pprof${path}`)).statusCode).toBe(404);
  });
});
