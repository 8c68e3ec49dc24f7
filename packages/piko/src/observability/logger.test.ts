import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { textOutput } from "../../test/text-output.js";
import type { LogConfig } from "../config/log.js";
import { type Logger, createLogger } from "./logger.js";

const now = Date.UTC(2026, 10, 23, 17, 11, 43, 7);

beforeEach(() => {
  vi.stubEnv("TZ", "UTC");
});
afterEach(() => {
  vi.unstubAllEnvs();
});

interface Setup {
  readonly logger: Logger;
  readonly lines: () => Promise<readonly string[]>;
}

function setUp(config: Partial<LogConfig> = {}, more: { terminal?: boolean; color?: boolean } = {}): Setup {
  const { output, text } = textOutput();
  const logger = createLogger({
    config: { level: "info", subsystems: [], format: "auto", ...config },
    output,
    now: () => now,
    ...more,
  });
  return {
    logger,
    lines: async () => {
      await output.drain();
      return text().split("\n").slice(0, -1);
    },
  };
}

describe("json", () => {
  it("has level, ts, subsystem and msg before the fields", async () => {
    const { logger, lines } = setUp();
    logger.info("started");
    logger.subsystem("proxy.http").warn("slow", { "endpoint-id": "e", ms: 3, error: new Error("why") });
    expect(await lines()).toEqual([
      '{"level":"info","ts":"2026-11-23T17:11:43.007Z","subsystem":"main","msg":"started"}',
      '{"level":"warn","ts":"2026-11-23T17:11:43.007Z","subsystem":"proxy.http","msg":"slow","endpoint-id":"e","ms":3,"error":"why"}',
    ]);
  });

  it("hides secrets in fields and messages", async () => {
    const { logger, lines } = setUp();
    logger.error("sent Bearer hunter2", { headers: { Authorization: ["hunter2"] } });
    const [line] = await lines();
    expect(line).not.toContain("hunter2");
    expect(line).toContain("[redacted]");
  });
});

describe("levels", () => {
  it.each([
    ["debug", ["debug", "info", "warn", "error"]],
    ["info", ["info", "warn", "error"]],
    ["warn", ["warn", "error"]],
    ["error", ["error"]],
  ] as const)("%s lets through %j", async (level, expected) => {
    const { logger, lines } = setUp({ level });
    for (const each of ["debug", "info", "warn", "error"] as const) {
      logger[each](each);
      expect(logger.enabled(each)).toBe(expected.some((one) => one === each));
    }
    expect((await lines()).map((line) => JSON.parse(line).msg)).toEqual(expected);
  });

  it("don't apply to the listed subsystems, by their exact names", async () => {
    const { logger, lines } = setUp({ level: "error", subsystems: ["proxy"] });
    logger.debug("no");
    logger.subsystem("proxy").debug("yes");
    logger.subsystem("proxy.http").debug("no");
    expect((await lines()).map((line) => JSON.parse(line).msg)).toEqual(["yes"]);
  });
});

describe("logfmt", () => {
  it("has the same fields in the same order, quoted if necessary", async () => {
    const { logger, lines } = setUp({ format: "logfmt" });
    logger.warn("two words", { a: "b=c", n: 1, none: undefined, list: ["x"], hidden: "\u202e" });
    expect(await lines()).toEqual([
      'level=warn ts=2026-11-23T17:11:43.007Z subsystem=main msg="two words" a="b=c" n=1 list="[\\"x\\"]" hidden="\\u202e"',
    ]);
  });
});

describe("pretty", () => {
  it("is used on a terminal", async () => {
    const { logger, lines } = setUp({}, { terminal: true, color: false });
    logger
      .subsystem("upstream")
      .info("connected", { "endpoint-id": "my-endpoint", text: "two words", n: 1, none: undefined });
    expect(await lines()).toEqual([
      '17:11:43.007 info  upstream  connected  endpoint-id=my-endpoint text="two words" n=1',
    ]);
  });

  it("has colors if enabled", async () => {
    const { logger, lines } = setUp({ format: "pretty" }, { color: true });
    logger.error("failed");
    expect((await lines())[0]).toContain("\u001b[31merror");
  });

  it("never passes control characters in a value to the terminal", async () => {
    const { logger, lines } = setUp({ format: "pretty" });
    logger.info("got", { value: "\u001b[2Jx\ny" });
    expect(await lines()).toEqual(['17:11:43.007 info  main  got  value="\\u001b[2Jx\\ny"']);
  });
});

it("logs how many lines were dropped", async () => {
  const { logger } = setUp();
  expect(logger.sink.output.droppedLine?.(3)).toBe(
    '{"level":"warn","ts":"2026-11-23T17:11:43.007Z","subsystem":"main","msg":"log lines dropped","count":3}\n',
  );
});
