// What an access log contains beyond Go Piko's, in which formats, and for which requests.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { entry, requestOf, setUp, textOf } from "../../test/access-log-rig.js";
import { REASONS } from "../http/reasons.js";
import { RequestId } from "./request-id.js";
import { ServedBy } from "./served-by.js";

beforeEach(() => {
  vi.stubEnv("TZ", "UTC");
});
afterEach(() => {
  vi.unstubAllEnvs();
});

describe("fields beyond Go Piko's", () => {
  const id = new RequestId();
  id.take(Buffer.from("id-1"), 0, 4);
  const servedBy = new ServedBy({ agent: "0123456789ab", "agent-addr": "192.0.2.7" });
  const more = { id, endpointId: "e", servedBy, bytesIn: 5, bytesOut: 1_234_567, tries: 2 };

  it("follow the others, as numbers and strings", async () => {
    const { log, text } = setUp({}, {}, undefined, "node-1");
    log.write({ ...entry, ...more });
    log.write({ ...entry, ...more, headMs: -1, status: 502, tries: 0, reason: REASONS.no_upstream });
    const [first, second] = (await text())
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(first).toMatchObject({
      "duration-ms": 7.307,
      "head-ms": 6.5,
      "bytes-in": 5,
      "bytes-out": 1_234_567,
    });
    expect(first).toMatchObject({ tries: 2, "request-id": "id-1", "endpoint-id": "e", "node-id": "node-1" });
    expect(first).toMatchObject({ agent: "0123456789ab", "agent-addr": "192.0.2.7", level: "info" });
    expect(first).not.toHaveProperty("reason");
    expect(second).toMatchObject({ reason: "no_upstream", tries: 0, level: "warn" });
    expect(second).not.toHaveProperty("head-ms");
  });

  it("a cut makes the line a warning, a client that left doesn't", async () => {
    const { log, text } = setUp();
    log.write({ ...entry, reason: REASONS.cut });
    log.write({ ...entry, status: 499, reason: REASONS.client_gone });
    const lines = (await text())
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ level, reason }) => [level, reason])).toEqual([
      ["warn", "cut"],
      ["info", "client_gone"],
    ]);
  });

  it("are in logfmt too", async () => {
    const { log, text } = setUp({}, { format: "logfmt" }, undefined, "node-1");
    const gathered = textOf(log, requestOf([], "ep.x", '/a="b c'), undefined, "192.0.2.1");
    log.write({ ...entry, ...more, text: gathered, status: 502, reason: REASONS.cut });
    expect(await text()).toBe(
      "level=warn ts=2026-11-23T17:11:43.007Z subsystem=proxy.access msg=request endpoint-id=e client-ip=192.0.2.1 " +
        'proto=HTTP/1.1 method=GET host=ep.x path="/a=\\"b c" status=502 duration=7.307ms duration-ms=7.307 ' +
        "head-ms=6.5 bytes-in=5 bytes-out=1234567 tries=2 request-id=id-1 agent=0123456789ab " +
        "agent-addr=192.0.2.7 node-id=node-1 reason=cut\n",
    );
  });
});

describe("a sample", () => {
  it("has about that fraction of the successful requests, in whatever pattern they come, and all failed ones", async () => {
    const { log, text } = setUp({ sample: 0.1 });
    for (let i = 0; i < 10_000; i++) log.write({ ...entry, status: i % 10 === 0 ? 404 : 200 });
    for (let i = 0; i < 10; i++) log.write({ ...entry, status: 502 });
    const lines = (await text())
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const count = (status: number): number => lines.filter(({ request }) => request.status === status).length;
    expect(lines[0]).toMatchObject({ sample: 0.1 });
    expect(count(200)).toBeGreaterThan(800);
    expect(count(200)).toBeLessThan(1_000);
    expect(count(404)).toBeGreaterThan(70);
    expect(count(404)).toBeLessThan(130);
    expect(count(502)).toBe(10);
  });

  it("of 0 leaves only the failed ones", async () => {
    const { log, text } = setUp({ sample: 0 });
    for (const status of [200, 502]) log.write({ ...entry, status });
    expect((await text()).trim().split("\n")).toHaveLength(1);
  });
});

it("a log with its own format doesn't use that of the general log", async () => {
  const { log, text } = setUp({ format: "logfmt" }, { format: "pretty" });
  log.write(entry);
  expect(await text()).toMatch(/^level=info /);
});
