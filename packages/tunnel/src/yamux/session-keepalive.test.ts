// What a session does as time passes: pings, the open timeout, and no timer left running.

import { describe, expect, it } from "vitest";
import { SessionBench } from "../../tests/session-bench.js";
import { encode } from "../../tests/yamux-frames.js";

describe("keepalive", () => {
  it("pings every 30 s with numbers from 0, as long as there are answers", () => {
    const bench = new SessionBench("server");
    bench.clock.advance(29_999);
    expect(bench.sent()).toEqual([]);
    for (let id = 0; id < 5; id++) {
      bench.clock.advance(1);
      expect(bench.sent()).toEqual([`ping S 0 ${id}`]);
      bench.receive(encode("ping", "A", 0, id));
      bench.clock.advance(29_999);
      expect(bench.sent()).toEqual([]);
    }
    expect(bench.failure).toBeUndefined();
  });

  it("ends the session 10 s after a ping without an answer, with GoAway(2) so that a Go agent reconnects", () => {
    const bench = new SessionBench("server");
    const stream = bench.open();
    bench.clock.advance(30_000);
    bench.sent();
    bench.clock.advance(9_999);
    expect(bench.failure).toBeUndefined();
    bench.clock.advance(1);
    expect(bench.failure).toBe("PIKO_YAMUX_KEEPALIVE");
    expect(bench.sent()).toEqual(["goaway 0 2"]);
    expect(stream.calls).toEqual(["reset"]);
    bench.clock.assertIdle();
  });

  it("accepts any bytes as a sign of life: an answer may be queued after bulk data", () => {
    const bench = new SessionBench("client");
    bench.receive(encode("window", "S", 2, 0));
    bench.clock.advance(30_000);
    // Not even a whole frame.
    bench.receive("0000");
    bench.clock.advance(10_000);
    expect(bench.failure).toBeUndefined();
  });

  it("doesn't accept what arrived before the ping as an answer", () => {
    const bench = new SessionBench("client");
    bench.clock.advance(29_999);
    bench.receive(encode("window", "S", 2, 0));
    bench.clock.advance(10_001);
    expect(bench.failure).toBe("PIKO_YAMUX_KEEPALIVE");
  });

  it("can be set", () => {
    const bench = new SessionBench("server", { keepAliveIntervalMs: 1_000, keepAliveTimeoutMs: 200 });
    bench.clock.advance(1_000);
    expect(bench.sent()).toEqual(["ping S 0 0"]);
    bench.clock.advance(200);
    expect(bench.failure).toBe("PIKO_YAMUX_KEEPALIVE");
  });

  it("has one timer, which ends with the session", () => {
    const bench = new SessionBench("server");
    for (let i = 0; i < 20; i++) {
      expect(bench.clock.pending).toBe(1);
      bench.clock.advance(10_000);
      bench.receive(encode("ping", "A", 0, i));
    }
    bench.session.end();
    bench.clock.assertIdle();
  });
});

describe("the open timeout", () => {
  /** Advances time while the peer answers pings. */
  function pass(bench: SessionBench, ms: number): void {
    for (let left = ms; left > 0; left -= 1_000) {
      bench.clock.advance(Math.min(left, 1_000));
      if (bench.session.ended) return;
      bench.receive(encode("ping", "A", 0, 0));
    }
  }

  it("ends a session whose peer accepts nothing, at the first check after 75 s", () => {
    const bench = new SessionBench("server");
    const streams = Array.from({ length: 300 }, () => bench.open());
    pass(bench, 74_000);
    expect(bench.failure).toBeUndefined();
    pass(bench, 21_000);
    expect(bench.failure).toBe("PIKO_YAMUX_OPEN_TIMEOUT");
    for (const { calls } of streams) expect(calls).toEqual(["reset"]);
    bench.clock.assertIdle();
  });

  it("counts from the first stream that waits, not from the last", () => {
    const bench = new SessionBench("server");
    for (let i = 0; i < 9; i++) {
      bench.open();
      pass(bench, 10_000);
    }
    expect(bench.failure).toBe("PIKO_YAMUX_OPEN_TIMEOUT");
  });

  it("starts again with every stream that is accepted, and doesn't run if none waits", () => {
    const bench = new SessionBench("server");
    for (let id = 2; id < 20; id += 2) bench.open();
    for (let id = 2; id < 20; id += 2) {
      pass(bench, 50_000);
      bench.receive(encode("window", "A", id, 0));
    }
    pass(bench, 200_000);
    expect(bench.failure).toBeUndefined();
  });

  it("forgets streams that were reset", () => {
    const bench = new SessionBench("server");
    bench.open().stream.reset();
    const other = bench.open();
    bench.receive(encode("window", "R", other.stream.id, 0));
    pass(bench, 200_000);
    expect(bench.failure).toBeUndefined();
  });
});
