import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { AccessLogConfig } from "../config/access-log.js";
import type { LogConfig } from "../config/log.js";
import {
  FIELD_STRIDE,
  LINE_END,
  LINE_START,
  MessageHead,
  NAME_END,
  VALUE_END,
  VALUE_START,
} from "../http1/head.js";
import { AccessLog, type AccessLogEntry } from "./access-log.js";
import { LogOutput } from "./log-output.js";
import { createLogger } from "./logger.js";

const now = Date.UTC(2026, 10, 23, 17, 11, 43, 7);

beforeEach(() => {
  vi.stubEnv("TZ", "UTC");
});
afterEach(() => {
  vi.unstubAllEnvs();
});

interface Setup {
  readonly log: AccessLog;
  readonly text: () => Promise<string>;
}

function setUp(
  access: Partial<AccessLogConfig> = {},
  log: Partial<LogConfig> = {},
  endpointId?: string,
): Setup {
  let text = "";
  const output = new LogOutput({
    write: (bytes, offset, done) => {
      text += bytes.toString("utf8", offset);
      done(null, bytes.length - offset);
    },
    writeSync: () => 0,
  });
  const config: LogConfig = { level: "info", subsystems: [], format: "json", ...log };
  const logger = createLogger({ config, output, now: () => now });
  const none = { allowList: [], blockList: [] };
  const accessLog = new AccessLog({
    config: { level: "info", disable: false, requestHeaders: none, responseHeaders: none, ...access },
    logger,
    subsystem: "proxy.access",
    endpointId,
  });
  return {
    log: accessLog,
    text: async () => {
      await accessLog.close();
      return text;
    },
  };
}

/** A head with these fields, somewhere inside of a larger buffer, as parsers leave it. */
function headOf(...fields: readonly (readonly [string, string])[]): MessageHead {
  const head = new MessageHead(64);
  let text = "earlier bytes";
  head.start = text.length;
  text += "GET / HTTP/1.1\r\n";
  fields.forEach(([name, value], index) => {
    const at = index * FIELD_STRIDE;
    head.fields[at + LINE_START] = text.length;
    head.fields[at + NAME_END] = text.length + name.length;
    head.fields[at + VALUE_START] = text.length + name.length + 2;
    text += `${name}: ${value}`;
    head.fields[at + VALUE_END] = text.length;
    text += " \r\n";
    head.fields[at + LINE_END] = text.length;
  });
  text += "\r\n";
  head.end = text.length;
  head.fieldCount = fields.length;
  head.buffer = Buffer.from(`${text}later bytes`, "latin1");
  return head;
}

const entry: AccessLogEntry = {
  http10: false,
  method: "GET",
  host: "ep.x",
  path: "/c",
  requestFields: "{}",
  responseFields: "{}",
  status: 200,
  durationMs: 7.307,
};

describe("a line", () => {
  it("has the shape that log readers know", async () => {
    const { log, text } = setUp();
    const requestFields = log.requestFields(
      headOf(["Host", "ep.x"], ["connection", "close"], ["USER-AGENT", "ua"]),
    );
    const responseFields = log.responseFields(
      headOf(["content-length", "2"], ["content-type", "text/plain; charset=utf-8"]),
    );
    log.write({ ...entry, requestFields, responseFields });
    expect(await text()).toBe(
      '{"level":"info","ts":"2026-11-23T17:11:43.007Z","subsystem":"proxy.access","msg":"request","request":{"proto":"HTTP/1.1","method":"GET","host":"ep.x","path":"/c","request_headers":{"Connection":["close"],"User-Agent":["ua"]},"response_headers":{"Content-Length":["2"],"Content-Type":["text/plain; charset=utf-8"]},"status":200,"duration":"7.307ms"}}\n',
    );
  });

  it("names the agent's endpoint in front of the request", async () => {
    const { log, text } = setUp({}, {}, "my-endpöint");
    log.write({ ...entry, http10: true });
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

  it("stays one line of JSON whatever host and path hold", async () => {
    const { log, text } = setUp();
    log.write({ ...entry, host: 'a"b', path: "/\\\u00c3\u00a4\u00ff" });
    expect(JSON.parse(await text()).request).toMatchObject({ host: 'a"b', path: "/\\ä\ufffd" });
  });

  it("is short for people", async () => {
    const { log, text } = setUp({}, { format: "pretty" });
    log.write(entry);
    log.write({ ...entry, path: "/\u001b[2J", status: 502 });
    expect(await text()).toBe(
      '17:11:43.007 info  proxy.access  GET ep.x /c 200 7ms\n17:11:43.007 warn  proxy.access  GET ep.x "/\\u001b[2J" 502 7ms\n',
    );
    const agents = setUp({}, { format: "pretty" }, "my-endpoint");
    agents.log.write(entry);
    expect(await agents.text()).toBe("17:11:43.007 info  proxy.access  GET my-endpoint /c 200 7ms\n");
  });
});

describe("header fields", () => {
  it.each(["Authorization", "proxy-authorization", "X-PIKO-AUTHORIZATION", "cookie", "Set-Cookie"])(
    "never show the value of %s",
    (name) => {
      const { log } = setUp();
      const text = log.requestFields(headOf([name, "hunter2"], ["a", "b"], [name, "hunter2"]));
      expect(text).not.toContain("hunter2");
      expect(Object.values(JSON.parse(text))).toContainEqual(["[redacted]", "[redacted]"]);
      expect(log.responseFields(headOf([name, "hunter2"]))).toContain('["[redacted]"]');
    },
  );

  it("group the same name, however it is spelled", () => {
    const { log } = setUp();
    const text = log.requestFields(headOf(["via", "1"], ["x", "y"], ["Via", "2"], ["VIA", "3"]));
    expect(text).toBe('{"Via":["1","2","3"],"X":["y"]}');
  });

  it("leave out those on the block list, and show only those on the allow list", () => {
    const fields = [
      ["accept", "*/*"],
      ["x-one", "1"],
      ["x-two", "2"],
    ] as const;
    const blocking = setUp({ requestHeaders: { blockList: ["X-One"], allowList: [] } });
    expect(blocking.log.requestFields(headOf(...fields))).toBe('{"Accept":["*/*"],"X-Two":["2"]}');
    expect(blocking.log.responseFields(headOf(...fields))).toContain("X-One");
    const allowing = setUp({ responseHeaders: { blockList: [], allowList: ["x-ONE"] } });
    expect(allowing.log.responseFields(headOf(...fields))).toBe('{"X-One":["1"]}');
  });

  it("are told apart from the head before, however little differs", () => {
    const { log } = setUp();
    const long = "x".repeat(3_000);
    for (const value of ["a", "a", "b", "a", long, `${long}y`, long, "", "a"]) {
      const text = log.requestFields(headOf(["X-Same", "1"], ["X-Value", value]));
      expect(JSON.parse(text)).toEqual({ "X-Same": ["1"], "X-Value": [value] });
    }
    expect(log.requestFields(headOf())).toBe("{}");
  });

  it("are an empty object when there are none", () => {
    expect(setUp().log.requestFields(headOf())).toBe("{}");
    expect(setUp().log.requestFields(headOf(["host", "h"]))).toBe("{}");
  });

  it("survive peers that invent names", () => {
    const { log } = setUp();
    for (let i = 0; i < 2_000; i++) {
      expect(log.requestFields(headOf([`x-${i}`, "v"], ["via", "1"]))).toBe(`{"X-${i}":["v"],"Via":["1"]}`);
    }
  });

  it("give any bytes back as UTF-8 text, like a plain reader of the fields", () => {
    const { log } = setUp();
    const name = fc
      .stringMatching(/^[a-zA-Z][a-zA-Z0-9-]{0,12}$/)
      .filter((each) => each.toLowerCase() !== "host");
    const value = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 12 }), (fields) => {
        const expected: Record<string, string[]> = {};
        for (const [sent, bytes] of fields) {
          const canonical = sent
            .split("-")
            .map((part) => part.slice(0, 1).toUpperCase() + part.slice(1).toLowerCase())
            .join("-");
          if (/^(Cookie|Authorization)$/.test(canonical)) continue;
          expected[canonical] = [
            ...(expected[canonical] ?? []),
            Buffer.from(bytes, "latin1").toString("utf8"),
          ];
        }
        const text = log.requestFields(headOf(...fields));
        expect(JSON.parse(Buffer.from(text, "latin1").toString("utf8"))).toEqual(expected);
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

  it("spare the work on fields that nobody sees", () => {
    expect(setUp({ disable: true }).log.requestFields(headOf(["a", "b"]))).toBe("{}");
  });
});
