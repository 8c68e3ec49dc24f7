import { beforeEach, describe, expect, it } from "vitest";
import { entry } from "../../test/access-log-rig.js";
import { RequestHead } from "../http/head.js";
import { parseRequestHead } from "../http/h1/parse-request-head.js";
import { RecentRequests } from "./recent-requests.js";
import { RequestText } from "./request-text.js";

let recent: RecentRequests;
beforeEach(() => {
  recent = new RecentRequests(3);
});

function add(path: string, durationMs = 1): void {
  const bytes = Buffer.from(`GET ${path}?secret=1 HTTP/1.1\r\nHost: h\r\n\r\n`, "latin1");
  const head = new RequestHead(10);
  parseRequestHead(head, bytes, 0, bytes.length);
  const text = new RequestText();
  text.begin(head, undefined, undefined);
  recent.add({ ...entry, durationMs, text }, "web", 1_000 + durationMs);
  text.clear();
}

describe("RecentRequests", () => {
  it("has the data of a request, without its query", () => {
    add("/items/1", 5);
    expect(recent.list()).toEqual([
      {
        endedMs: 1_005,
        endpointId: "web",
        method: "GET",
        path: "/items/1",
        status: 200,
        durationMs: 5,
        reason: "",
      },
    ]);
  });

  it("keeps the newest, and lists them first", () => {
    expect(recent.list()).toEqual([]);
    for (const path of ["/1", "/2", "/3", "/4", "/5"]) add(path);
    expect(recent.list().map(({ path }) => path)).toEqual(["/5", "/4", "/3"]);
  });

  it("truncates a long path, and keeps nothing of a previous longer one", () => {
    add(`/${"x".repeat(500)}`);
    add("/short");
    add("/ab");
    expect(recent.list().map(({ path }) => path)).toEqual(["/ab", "/short", `/${"x".repeat(159)}`]);
  });

  it("has a path escaped as in JSON", () => {
    add('/a"b');
    expect(recent.list()[0]?.path).toBe('/a\\"b');
  });
});
