// `piko status --watch`: what is shown as pages change, and how it ends.

import { FakeClock } from "@piko/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import type { StatusConfig } from "../config/status.js";
import { type Page, upstreamEndpoints } from "./pages.js";
import { runStatus } from "./run.js";
import {
  closeServers,
  configOf,
  NOW_MS,
  serve,
  servePages,
  show,
  TestScreen,
} from "../../test/status-rig.js";

afterEach(closeServers);

describe("a watch", () => {
  interface Watched {
    readonly screen: TestScreen;
    readonly clock: FakeClock;
    /** Lets it make the next request. */
    readonly again: () => void;
    readonly end: () => Promise<void>;
  }

  function watch<T>(page: Page<T>, config: StatusConfig, screen: TestScreen): Watched {
    const clock = new FakeClock();
    const stop = new AbortController();
    const { signal } = stop;
    const ended = runStatus({ config, page, screen, signal, clock, wallNow: () => NOW_MS });
    return {
      screen,
      clock,
      again: () => clock.advance(1_000),
      end: () => {
        stop.abort();
        return ended;
      },
    };
  }

  it("prints changes and new failures, and continues after failures", async () => {
    const answers: (object | undefined)[] = [{ web: 1 }, { web: 1 }, undefined, undefined, { web: 2 }];
    let asked = 0;
    const url = await serve((_request, response) => {
      const page = answers[asked++];
      if (page === undefined) response.writeHead(503).end();
      else response.end(JSON.stringify(page));
    });
    const screen = new TestScreen();
    const { again, clock, end } = watch(upstreamEndpoints, configOf(url, { watch: true }), screen);
    await screen.until(() => screen.text !== "");
    for (let round = 1; round < answers.length; round++) {
      await waitForTimer(clock);
      again();
    }
    await screen.until(() => screen.text.includes("---"));
    await end();
    expect(parseAllDocuments(screen.text).map((document) => document.toJS() as unknown)).toEqual([
      { web: 1 },
      { web: 2 },
    ]);
    expect(screen.errors).toBe(`upstream endpoints: ${url}: bad status: 503\n`);
  });

  it("redraws a terminal in place, without exceeding its size", async () => {
    const endpoints = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`endpoint-${at}`, 1]));
    const url = await servePages({ "/status/upstream/endpoints": endpoints });
    const screen = new TestScreen(80, 10);
    const { again, clock, end } = watch(upstreamEndpoints, configOf(url, { watch: true }), screen);
    await screen.until(() => screen.text.includes("more lines"));
    await waitForTimer(clock);
    screen.text = "";
    again();
    await screen.until(() => screen.text.includes("more lines"));
    await end();
    expect(screen.text.startsWith("\u001b[Hupstream endpoints at http")).toBe(true);
    expect(screen.text.split("\n")).toHaveLength(10);
    expect(screen.text).toContain("... and 95 more lines");
  });

  it("ends at once if its first request fails", async () => {
    const url = await serve((_, response) => response.writeHead(503).end());
    await expect(show(upstreamEndpoints, configOf(url, { watch: true }))).rejects.toThrow("bad status: 503");
  });

  it.each(["yaml", "json", "table"])(
    "checks in %s whether a program still reads, without printing a line",
    async (output) => {
      const answers = [{ web: 1 }, { web: 1 }, { web: 1 }, { web: 2 }];
      let asked = 0;
      const url = await serve((_request, response) => {
        response.end(JSON.stringify(answers[asked++]));
      });
      const screen = new TestScreen();
      screen.hasReader = true;
      const { again, clock, end } = watch(upstreamEndpoints, configOf(url, { watch: true, output }), screen);
      await screen.until(() => screen.text !== "");
      const first = screen.text;
      for (let round = 1; round < answers.length; round++) {
        await waitForTimer(clock);
        again();
      }
      const last = first.replace("1", "2");
      await screen.until(() => screen.text.endsWith(last));
      await end();
      const separator = { json: "", yaml: "---\n", table: "\n" }[output] ?? "";
      expect(screen.text).toBe(`${first}  \n${separator}${last}`);
      if (output === "yaml")
        expect(parseAllDocuments(screen.text).map((each) => each.toJS() as unknown)).toEqual([
          { web: 1 },
          { web: 2 },
        ]);
    },
  );

  it("ends while it waits for a response", async () => {
    let asked = 0;
    let askedAgain = (): void => {};
    const second = new Promise<void>((resolve) => {
      askedAgain = resolve;
    });
    const url = await serve((_request, response) => {
      if (asked++ === 0) response.end("{}");
      else askedAgain();
    });
    const screen = new TestScreen();
    const { again, clock, end } = watch(upstreamEndpoints, configOf(url, { watch: true }), screen);
    await screen.until(() => screen.text !== "");
    await waitForTimer(clock);
    again();
    await second;
    await end();
  });
});

/** Waits until a timer is set on the clock. */
async function waitForTimer(clock: FakeClock): Promise<void> {
  while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
}
