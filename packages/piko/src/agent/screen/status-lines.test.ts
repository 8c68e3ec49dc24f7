import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RecentRequest } from "../../observability/recent-requests.js";
import { lineWidth } from "./spans.js";
import { type ListenerStatus, statusLines, type View } from "./status-lines.js";

const web: ListenerStatus = {
  reachedAt: "https://web.piko.example.com",
  service: "http://localhost:3000",
  protocol: "http",
  healthy: undefined,
  open: 2,
  wanted: 2,
  nodes: [
    { id: "node-a", roundTripMs: 0.94 },
    { id: "node-b", roundTripMs: 23.4 },
  ],
  requests: 1_234,
  perSecond: 12.34,
  underWay: 3,
};
const redis: ListenerStatus = {
  ...web,
  reachedAt: "redis",
  service: "tcp://localhost:6379",
  protocol: "tcp",
  requests: 0,
  underWay: 1,
};
const request: RecentRequest = {
  endedMs: Date.UTC(2026, 10, 23, 17, 11, 43, 7),
  endpointId: "web",
  method: "GET",
  path: "/items/1",
  status: 200,
  durationMs: 3.21,
  reason: "",
};
const WIDE: View = { columns: 80, rows: 24, color: false };

beforeEach(() => vi.stubEnv("TZ", "UTC"));
afterEach(() => vi.unstubAllEnvs());

describe("statusLines", () => {
  it("shows an endpoint with its tunnels and its load, and the recent requests below", () => {
    const slow = {
      ...request,
      status: 504,
      durationMs: 10_004,
      path: "/slow",
      method: "POST",
      reason: "timeout",
    };
    expect(statusLines({ listeners: [web], recent: [slow, request] }, WIDE)).toEqual([
      "",
      "https://web.piko.example.com -> http://localhost:3000",
      "  2 of 2 tunnels  node-a 0.9 ms, node-b 23 ms",
      "  1,234 requests, 12/s, 3 in progress",
      "",
      "17:11:43  504   10.0 s  POST /slow  timeout",
      "17:11:43  200   3.2 ms  GET /items/1",
    ]);
  });

  it("names each request's endpoint if there are several, and counts connections for TCP", () => {
    expect(statusLines({ listeners: [web, redis], recent: [request] }, WIDE).slice(4)).toEqual([
      "redis -> tcp://localhost:6379",
      "  2 of 2 tunnels  node-a 0.9 ms, node-b 23 ms",
      "  1 connection",
      "",
      "17:11:43  200   3.2 ms  web  GET /items/1",
    ]);
  });

  it.each([
    [{ nodes: [{ id: undefined, roundTripMs: undefined }], open: 1, wanted: 1 }, "  1 of 1 tunnel  node"],
    [{ nodes: [], open: 0 }, "  no tunnel, reconnecting"],
    [{ nodes: [], open: 0, healthy: false }, "  service is unhealthy, no tunnels"],
    [{ healthy: true }, "  2 of 2 tunnels  node-a 0.9 ms, node-b 23 ms"],
  ])("shows the state of its tunnels: %j", (more, line) => {
    expect(statusLines({ listeners: [{ ...web, ...more }], recent: [] }, WIDE)[2]).toBe(line);
  });

  it.each([
    [{ requests: 0, perSecond: 0, underWay: 0 }, "  0 requests, 0/s"],
    [{ requests: 1, perSecond: 0.2, underWay: 0 }, "  1 request, 0.2/s"],
    [
      { requests: 1_234_567, perSecond: 15_432, underWay: 2_000 },
      "  1,234,567 requests, 15,432/s, 2,000 in progress",
    ],
  ])("shows the number of requests: %j", (more, line) => {
    expect(statusLines({ listeners: [{ ...web, ...more }], recent: [] }, WIDE)[3]).toBe(line);
  });

  it.each([10, 40, 80, 120])("is narrower than a terminal of %s columns, colored or not", (columns) => {
    const path = `/${"long/".repeat(40)}`;
    const status = { listeners: [web, redis], recent: [{ ...request, path }] };
    for (const color of [false, true]) {
      const lines = statusLines(status, { columns, rows: 24, color });
      expect(Math.max(...lines.map(lineWidth))).toBe(columns - 1);
    }
  });

  it("uses one line per endpoint if there is no room for three, and counts those that don't fit", () => {
    const listeners = Array.from({ length: 8 }, (_, at) => ({ ...web, reachedAt: `e${at}` }));
    const view = { columns: 100, rows: 12, color: false };
    const lines = statusLines({ listeners, recent: Array.from({ length: 9 }, () => request) }, view);
    expect(lines[0]).toBe("e0 -> http://localhost:3000  2 of 2 tunnels, 1,234 requests, 12/s, 3 in progress");
    expect(lines).toHaveLength(10);
    expect(lines[9]).toContain("GET /items/1");
    const low = statusLines({ listeners, recent: [request] }, { ...view, rows: 6 });
    expect(low).toHaveLength(4);
    expect(low[3]).toBe("and 5 more");
    expect(statusLines({ listeners, recent: [request] }, { ...view, rows: 1 })).toEqual(["and 8 more"]);
  });

  it("shows no control characters of requests", () => {
    const hostile = { ...request, path: "/\u001b[2J", method: "G\u202eT" };
    const lines = statusLines(
      { listeners: [{ ...web, nodes: [{ id: "\u001b]0;x\u0007", roundTripMs: 1 }] }], recent: [hostile] },
      WIDE,
    );
    // oxlint-disable-next-line no-control-regex -- what must not be there
    expect(lines.join("")).not.toMatch(/[\u0000-\u001f\u202e]/);
  });

  it("colors statuses by their class", () => {
    const recent = [200, 304, 404, 502].map((status) => ({ ...request, status }));
    const lines = statusLines({ listeners: [web], recent }, { ...WIDE, color: true }).slice(5);
    // oxlint-disable-next-line no-control-regex -- the sequences of colors
    expect(lines.map((line) => /\u001b\[(\d+)m\d{3}\u001b/.exec(line)?.[1])).toEqual([
      "32",
      "32",
      "33",
      "31",
    ]);
  });
});
