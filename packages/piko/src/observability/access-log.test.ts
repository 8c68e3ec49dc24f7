import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  entry,
  type Fields,
  requestOf,
  responseOf,
  setUp,
  shown,
  textOf,
} from "../../test/access-log-rig.js";
import type { AccessLogConfig } from "../config/access-log.js";
import type { LogConfig } from "../config/log.js";
import type { RequestHead, ResponseHead } from "../http/head.js";
import type { AccessLog } from "./access-log.js";
import { HeaderFields } from "./header-fields.js";
import { RecentRequests } from "./recent-requests.js";
import { RequestText } from "./request-text.js";

beforeEach(() => {
  vi.stubEnv("TZ", "UTC");
});
afterEach(() => {
  vi.unstubAllEnvs();
});

/** The line of a request that is the only one in its log. */
async function ownLine(
  head: RequestHead,
  response: ResponseHead | undefined,
  method: string,
  clientIp?: string,
  config: Partial<AccessLogConfig> = {},
): Promise<string> {
  const { log, text } = setUp(config);
  log.write({ ...entry, method, text: textOf(log, head, response, clientIp) });
  return await text();
}

/** Notes a request and its response in the text of a connection. */
function recordOn(
  kept: RequestText,
  log: AccessLog,
  head: RequestHead,
  response: ResponseHead | undefined,
  clientIp?: string,
): void {
  kept.begin(head, clientIp, log.requestFields);
  if (response !== undefined) kept.answer(response, log.responseFields);
}

describe("a line", () => {
  it("has the format that log readers expect", async () => {
    const { log, text } = setUp();
    const request = requestOf([
      ["Host", "ep.x"],
      ["connection", "close"],
      ["USER-AGENT", "ua"],
    ]);
    const response = responseOf([
      ["content-length", "2"],
      ["content-type", "text/plain; charset=utf-8"],
    ]);
    log.write({ ...entry, text: textOf(log, request, response) });
    expect(await text()).toBe(
      '{"level":"info","ts":"2026-11-23T17:11:43.007Z","subsystem":"proxy.access","msg":"request","request":{"proto":"HTTP/1.1","method":"GET","host":"ep.x","path":"/c","request_headers":{"Connection":["close"],"User-Agent":["ua"]},"response_headers":{"Content-Length":["2"],"Content-Type":["text/plain; charset=utf-8"]},"status":200,"duration":"7.307ms"},"duration-ms":7.307,"head-ms":6.5,"bytes-in":0,"bytes-out":2,"tries":1}\n',
    );
  });

  it("names the agent's endpoint before the request", async () => {
    const { log, text } = setUp({}, {}, "my-endpöint");
    const request = requestOf([]);
    request.minorVersion = 0;
    log.write({ ...entry, text: textOf(log, request) });
    expect(await text()).toContain(
      '"msg":"request","endpoint-id":"my-endpöint","request":{"proto":"HTTP/1.0","method"',
    );
  });

  it.each([
    [0, "0s"],
    [0.000_1, "0s"],
    [0.5, "500µs"],
    [1, "1ms"],
    [7.3, "7.3ms"],
    [999.999, "999.999ms"],
    [1_000, "1s"],
    [1_500.05, "1.50005s"],
    [59_999.999, "59.999999s"],
    [60_000, "1m0s"],
    [3_600_001, "1h0m0.001s"],
  ])("prints %d ms as %s", async (durationMs, expected) => {
    const { log, text } = setUp();
    log.write({ ...entry, durationMs });
    expect(JSON.parse(await text()).request.duration).toBe(expected);
  });

  it("stays one line of JSON, whatever host and path contain", async () => {
    const { log, text } = setUp();
    log.write({ ...entry, text: textOf(log, requestOf([], 'a"b', "/\\\u00c3\u00a4\u00ff")) });
    expect(JSON.parse(await text()).request).toMatchObject({ host: 'a"b', path: "/\\ä\ufffd" });
  });

  it("of each request on a connection is the same as in a separate log", async () => {
    const host = fc.constantFrom("ep.x", "ep.y", "ep", "", 'a"b', 'a\\"b');
    const request = fc.record({
      connection: fc.nat(1),
      host,
      path: fc.constantFrom("/", "/a", "/b?c"),
      method: fc.constantFrom("GET", "POST", "X-OTHER"),
      minorVersion: fc.constantFrom(0, 1),
      clientIp: fc.constantFrom(undefined, "192.0.2.1", "2001:db8::1"),
      field: fc.constantFrom("v", "w", "x".repeat(3_000)),
      answered: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 2, maxLength: 8 }), async (requests) => {
        const one = setUp();
        const each: string[] = [];
        const kept = [new RequestText(), new RequestText()];
        for (const { connection, host: name, path, method, minorVersion, ...rest } of requests) {
          const { answered, clientIp, field } = rest;
          const head = Object.assign(requestOf([["Via", field]], name, path), { method, minorVersion });
          const response = answered ? responseOf([["Server", field]]) : undefined;
          each.push(await ownLine(head, response, method, clientIp));
          recordOn(kept[connection] as RequestText, one.log, head, response, clientIp);
          one.log.write({ ...entry, method, text: kept[connection] as RequestText });
          kept[connection]?.clear();
        }
        expect(await one.text()).toBe(each.join(""));
      }),
      { numRuns: 50 },
    );
  });

  it("has the id and trace of its own request if the other fields are those of the previous request", async () => {
    const fields = fc.record({
      connection: fc.nat(1),
      id: fc.constantFrom("id-1", "id-2", "id-33", "", 'i"-4', "i\\-5", "i\u00e9-6", "x".repeat(3_000)),
      named: fc.constantFrom("X-Request-Id", "x-request-id", "X-Other-Id", "Via"),
      traced: fc.constantFrom("Traceparent", "traceparent", "Tracestate", "Via"),
      trace: fc.constantFrom("00-1", "00-2", "00-33", "", 't"-4', undefined),
      more: fc.constantFrom([], [["X-Request-Id", "id-3"]], [["Via", "v"]], [["Traceparent", "w"]]),
      response: fc.constantFrom("v", "w"),
    });
    const lists = fc.constantFrom([], ["x-request-id"], ["traceparent"], ["x-request-id", "traceparent"]);
    await fc.assert(
      fc.asyncProperty(
        lists,
        fc.array(fields, { minLength: 2, maxLength: 8 }),
        async (blockList, requests) => {
          const config = { requestHeaders: { allowList: [], blockList } };
          const one = setUp(config);
          const each: string[] = [];
          const kept = [new RequestText(), new RequestText()];
          for (const { connection, id, more, named, response, trace, traced } of requests) {
            const second: Fields = trace === undefined ? [] : [[traced, trace]];
            const head = requestOf([["Accept", "*/*"], [named, id], ...second, ...(more as Fields)]);
            const answer = responseOf([["Server", response]]);
            each.push(await ownLine(head, answer, "GET", undefined, config));
            recordOn(kept[connection] as RequestText, one.log, head, answer);
            one.log.write({ ...entry, text: kept[connection] as RequestText });
            kept[connection]?.clear();
          }
          expect(await one.text()).toBe(each.join(""));
        },
      ),
      { numRuns: 300 },
    );
  });

  it.each([[[]], [["traceparent"]], [["x-request-id"]]])(
    "has the trace of its request after the id, with %j left out",
    async (blockList) => {
      const config = { requestHeaders: { allowList: [], blockList } };
      const one = setUp(config);
      const each: string[] = [];
      const kept = [new RequestText(), new RequestText()];
      const traces = ["00-1", "00-2", "00-3", "00-44", 't"-5', "00-6", "00-7", undefined, "00-8", "00-9"];
      for (const [index, trace] of traces.entries()) {
        const traced: Fields = trace === undefined ? [["tracestate", "00-x"]] : [["traceparent", trace]];
        const fields: Fields = [["Accept", "*/*"], ["X-Request-Id", `id-${index}`], ...traced, ["Via", "v"]];
        const head = requestOf(fields);
        const text = kept[index % 3 === 0 ? 0 : 1] as RequestText;
        each.push(await ownLine(head, undefined, "GET", undefined, config));
        recordOn(text, one.log, head, undefined);
        one.log.write({ ...entry, text });
        text.clear();
      }
      expect(await one.text()).toBe(each.join(""));
    },
  );

  it("leaves out the query, and has a path even if the target has none", async () => {
    const { log, text } = setUp();
    for (const path of ["/a?token=1", "?b", "", "*"]) {
      const gathered = textOf(log, requestOf([], "ep.x", path));
      log.write({ ...entry, text: gathered });
      expect([gathered.host, gathered.path]).toEqual(["ep.x", path.replace(/\?.*/, "") || "/"]);
    }
    const lines = (await text()).trim().split("\n");
    expect(lines.map((line) => JSON.parse(line).request.path)).toEqual(["/a", "/", "/", "*"]);
  });

  it("is short for people", async () => {
    const { log, text } = setUp({}, { format: "pretty" });
    log.write(entry);
    log.write({ ...entry, text: textOf(log, requestOf([], "ep.x", "/\u001b[2J")), status: 502 });
    expect(await text()).toBe(
      '17:11:43.007 info  proxy.access  GET ep.x /c 200 7ms\n17:11:43.007 warn  proxy.access  GET ep.x "/\\u001b[2J" 502 7ms\n',
    );
    const agents = setUp({}, { format: "pretty" }, "my-endpoint");
    agents.log.write(entry);
    expect(await agents.text()).toBe("17:11:43.007 info  proxy.access  GET my-endpoint /c 200 7ms\n");
  });

  it("isn't written while a screen shows requests, unless the request failed", async () => {
    const { log, sink, text } = setUp({}, { format: "pretty" }, "my-endpoint");
    sink.screen.recent = new RecentRequests(2);
    log.write(entry);
    log.write({ ...entry, status: 502 });
    expect(
      sink.screen.recent.list().map(({ endpointId, path, status }) => [endpointId, path, status]),
    ).toEqual([
      ["my-endpoint", "/c", 502],
      ["my-endpoint", "/c", 200],
    ]);
    expect(await text()).toBe("17:11:43.007 warn  proxy.access  GET my-endpoint /c 502 7ms\n");
  });
});

describe("header fields", () => {
  it.each(["Authorization", "proxy-authorization", "X-PIKO-AUTHORIZATION", "cookie", "Set-Cookie"])(
    "never show the value of %s",
    (name) => {
      const { log } = setUp();
      const text = shown(
        log.requestFields,
        requestOf([
          [name, "hunter2"],
          ["a", "b"],
          [name, "hunter2"],
        ]),
      );
      expect(text).not.toContain("hunter2");
      expect(Object.values(JSON.parse(text))).toContainEqual(["[redacted]", "[redacted]"]);
      expect(shown(log.responseFields, responseOf([[name, "hunter2"]]))).toContain('["[redacted]"]');
    },
  );

  it("are grouped by name, whatever its case", () => {
    const { log } = setUp();
    const text = shown(
      log.requestFields,
      requestOf([
        ["via", "1"],
        ["age", "y"],
        ["Via", "2"],
        ["VIA", "3"],
      ]),
    );
    expect(text).toBe('{"Via":["1","2","3"],"Age":["y"]}');
  });

  it("are left out if blocked; if there is an allow list, only its fields are shown", () => {
    const fields = [
      ["accept", "*/*"],
      ["via", "1"],
      ["x-two", "2"],
    ] as const;
    const blocking = setUp({ requestHeaders: { blockList: ["VIA"], allowList: [] } });
    expect(shown(blocking.log.requestFields, requestOf(fields))).toBe('{"Accept":["*/*"]}');
    expect(shown(blocking.log.responseFields, responseOf(fields))).toContain("Via");
    const allowing = setUp({ responseHeaders: { blockList: [], allowList: ["x-TWO"] } });
    expect(shown(allowing.log.responseFields, responseOf(fields))).toBe('{"X-Two":["2"]}');
  });

  it("differ from those of the previous head, even if only slightly", () => {
    const all = new HeaderFields("request_headers", () => "shown");
    const long = "x".repeat(3_000);
    for (const value of ["a", "a", "b", "a", long, `${long}y`, long, "", "a"]) {
      const text = shown(
        all,
        requestOf([
          ["X-Same", "1"],
          ["X-Value", value],
        ]),
      );
      expect(JSON.parse(text)).toEqual({ "X-Same": ["1"], "X-Value": [value] });
    }
    expect(shown(all, requestOf([]))).toBe("{}");
  });

  it("are an empty object when there are none", () => {
    expect(shown(setUp().log.requestFields, requestOf([]))).toBe("{}");
    expect(shown(setUp().log.requestFields, requestOf([["host", "h"]]))).toBe("{}");
  });

  it("can have any number of invented names", () => {
    const all = new HeaderFields("request_headers", () => "shown");
    for (let i = 0; i < 2_000; i++) {
      expect(
        shown(
          all,
          requestOf([
            [`x-${i}`, "v"],
            ["via", "1"],
          ]),
        ),
      ).toBe(`{"X-${i}":["v"],"Via":["1"]}`);
    }
  });

  it("give any bytes as UTF-8 text, as a simple implementation does", () => {
    const all = new HeaderFields("request_headers", () => "shown");
    const name = fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9-]{0,12}$/);
    const value = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 12 }), (fields) => {
        const expected: Record<string, string[]> = {};
        for (const [sent, bytes] of fields) {
          const canonical = sent
            .split("-")
            .map((part) => part.slice(0, 1).toUpperCase() + part.slice(1).toLowerCase())
            .join("-");
          expected[canonical] = [
            ...(expected[canonical] ?? []),
            Buffer.from(bytes, "latin1").toString("utf8"),
          ];
        }
        const text = shown(all, requestOf(fields));
        expect(JSON.parse(text)).toEqual(expected);
        // No control characters for a terminal, and no characters that change the direction of the text.
        expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      }),
    );
  });
});

describe("levels", () => {
  async function statuses(
    access: Partial<AccessLogConfig>,
    log: Partial<LogConfig>,
  ): Promise<readonly string[]> {
    const { log: accessLog, text } = setUp(access, log);
    for (const status of [200, 500]) accessLog.write({ ...entry, status });
    const lines = (await text()).split("\n").filter((line) => line !== "");
    expect(accessLog.enabled).toBe(lines.length > 0);
    return lines.map((line) => `${JSON.parse(line).request.status} ${JSON.parse(line).level}`);
  }

  it.each([
    [{}, {}, ["200 info", "500 warn"]],
    [{ level: "debug" }, {}, ["500 warn"]],
    [{ level: "error" }, {}, ["200 error", "500 error"]],
    [{}, { level: "warn" }, ["500 warn"]],
    [{}, { level: "error" }, []],
    [{}, { level: "error", subsystems: ["proxy.access"] }, ["200 info", "500 warn"]],
    [{ disable: true }, {}, []],
  ] as const)("%j with %j write %j", async (access, log, expected) => {
    expect(await statuses(access, log)).toEqual(expected);
  });

  it("avoid formatting fields that no one will see", () => {
    expect(setUp({ disable: true }).log.requestFields).toBeUndefined();
  });
});
