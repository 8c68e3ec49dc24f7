import { FakeClock } from "@piko/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { listenerConfig } from "../../../test/listener-config.js";
import { TerminalModel } from "../../../test/terminal-model.js";
import { LogOutput } from "../../observability/log-output.js";
import { createLogger, type Logger } from "../../observability/logger.js";
import { StatusScreen } from "./status-screen.js";

let clock: FakeClock;
let model: TerminalModel;
let writes: number;
let logger: Logger;
let timings: number;
let requestCount: number;
let foreground: boolean;
let resize: () => void;
let resume: () => void;
let screen: StatusScreen;

beforeEach(() => {
  clock = new FakeClock();
  model = new TerminalModel(80);
  writes = 0;
  timings = 0;
  requestCount = 0;
  foreground = true;
  const take = (bytes: Buffer, offset: number): number => {
    writes += 1;
    model.write(bytes.subarray(offset));
    return bytes.length - offset;
  };
  const output = new LogOutput({
    write: (bytes, offset, done) => done(null, take(bytes, offset)),
    writeSync: take,
  });
  logger = createLogger({
    config: { level: "info", subsystems: [], format: "pretty" },
    output,
    now: () => Date.UTC(2026, 10, 23, 17, 11, 43, 7),
  });
  const listener = {
    announced: undefined,
    config: listenerConfig("web", "3000"),
    healthy: undefined,
    get requestCount() {
      return requestCount;
    },
    get roundTripsMs() {
      return timings === 0 ? [undefined] : [timings];
    },
    streamCount: 0,
    timeRoundTrips: () => void timings++,
    tunnels: { open: 1, wanted: 1, nodeIds: ["node-a"] },
  };
  screen = new StatusScreen({
    listeners: () => [listener],
    sink: logger.sink,
    clock,
    terminal: {
      get columns() {
        return model.columns;
      },
      rows: 24,
      inForeground: () => foreground,
      onResize: (act) => void (resize = act),
      onContinue: (act) => void (resume = act),
    },
  });
});

const BLOCK = ["", "web -> http://localhost:3000", "  1 of 1 tunnel  node-a 1.0 ms", "  0 requests, 0/s"];

/** The rows of the screen, after all pending output was written. */
async function written(): Promise<string[]> {
  await logger.sink.output.drain();
  return model.rows;
}

describe("the agent's screen", () => {
  it("is drawn at its start, and then only after changes, at most four times a second", async () => {
    screen.start();
    expect(model.rows).toEqual(BLOCK);
    const before = writes;
    clock.advance(4_000);
    expect(writes).toBe(before);
    for (let ms = 0; ms < 1_000; ms += 10) {
      requestCount += 1;
      clock.advance(10);
    }
    expect(writes - before).toBe(4);
    expect(model.rows[3]).toMatch(/^ {2}\d+ requests, \d+\/s$/);
    screen.stop();
  });

  it("measures the round-trip times to the nodes every five seconds", () => {
    screen.start();
    expect(timings).toBe(1);
    clock.advance(4_999);
    expect(timings).toBe(1);
    clock.advance(1);
    expect(timings).toBe(2);
    expect(model.rows[2]).toBe("  1 of 1 tunnel  node-a 2.0 ms");
    screen.stop();
  });

  it("stays below log lines, and keeps its place when it is stopped", async () => {
    screen.start();
    logger.info("connected");
    expect((await written()).slice(1)).toEqual(BLOCK);
    requestCount = 7;
    screen.stop();
    screen.stop();
    logger.info("starting shutdown");
    const rows = await written();
    expect(rows[0]).toContain("connected");
    expect(rows[4]).toContain("7 requests");
    expect(rows[5]).toContain("starting shutdown");
    expect(rows).toHaveLength(6);
    expect(logger.sink.screen.recent).toBeUndefined();
    clock.assertIdle();
  });

  it("is redrawn for the terminal's new width", () => {
    screen.start();
    model.columns = 20;
    resize();
    expect(model.rows[1]).toBe("web -> http://loca…");
    screen.stop();
  });

  it("continues below what the shell wrote while the agent was suspended", () => {
    screen.start();
    model.write(Buffer.from("[1]+ Stopped\n$ fg\n"));
    resume();
    expect(model.rows.slice(4)).toEqual([
      "[1]+ Stopped",
      "$ fg",
      ...BLOCK.slice(0, 2),
      expect.any(String),
      BLOCK[3],
    ]);
    screen.stop();
  });

  it("leaves the terminal to others in the background, and returns in the foreground", async () => {
    screen.start();
    foreground = false;
    resume();
    const before = writes;
    requestCount = 5;
    clock.advance(2_000);
    expect(writes).toBe(before);
    expect(logger.sink.screen.recent).toBeUndefined();
    logger.info("a plain line");
    expect((await written()).at(-1)).toContain("a plain line");
    foreground = true;
    resume();
    expect(model.rows.at(-1)).toContain("5 requests");
    screen.stop();
    resume();
    clock.assertIdle();
  });
});
