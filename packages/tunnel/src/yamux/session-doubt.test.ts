// What a session reports to its `Doubt`, and what is held back from a doubtful peer.

import { describe, expect, it } from "vitest";
import { SessionBench } from "../../tests/session-bench.js";
import { encode } from "../../tests/yamux-frames.js";

const PING = "ping S 0 4294967295";
const PONG = encode("ping", "A", 0, 0xffff_ffff);
const hello = Buffer.from("hello");

/** Advances time with regular checks. */
function pass(bench: SessionBench, ms: number): boolean[] {
  const changes: boolean[] = [];
  for (let left = ms; left > 0; left -= 250) {
    bench.clock.advance(250);
    if (bench.session.look(bench.clock.now())) changes.push(bench.session.doubt.doubtful);
  }
  return changes;
}

describe("a session whose peer is silent", () => {
  it("is doubtful when a stream isn't accepted, pings, and trusts a peer that continues to answer", () => {
    const bench = new SessionBench("server");
    bench.open().stream.write(hello, 0, 5);
    bench.sent();
    expect(pass(bench, 1_250)).toEqual([true]);
    expect(bench.sent()).toEqual([PING]);
    expect(pass(bench, 5_000)).toEqual([]);
    expect(bench.sent()).toEqual([]);
    bench.receive(encode("window", "A", 2, 0), PONG);
    for (let i = 0; i < 3; i++) {
      pass(bench, 250);
      bench.receive(PONG);
    }
    expect(bench.session.doubt.doubtful).toBe(false);
    expect([bench.failure, bench.session.accepting]).toEqual([undefined, true]);
  });

  it.each([
    ["an ACK", encode("window", "A", 2, 0)],
    ["an ACK on data", encode("data", "A", 2, hello)],
    ["a reset", encode("window", "R", 2, 0)],
  ])("accepts %s as an answer", (_name, frame) => {
    const bench = new SessionBench("server");
    bench.open();
    pass(bench, 750);
    bench.receive(frame);
    expect(pass(bench, 5_000)).toEqual([]);
  });

  it("doesn't count giving up a stream here as an answer", () => {
    const bench = new SessionBench("server");
    bench.open().stream.reset();
    const { stream } = bench.open();
    pass(bench, 750);
    stream.reset();
    expect(pass(bench, 750)).toEqual([true]);
  });

  it("is doubtful when its keep-alive ping isn't answered, long before that ends it", () => {
    const bench = new SessionBench("server");
    expect(pass(bench, 30_000)).toEqual([]);
    expect(pass(bench, 1_500)).toEqual([true]);
    expect([bench.session.doubt.reason, bench.failure]).toEqual(["ping", undefined]);
    pass(bench, 10_000);
    expect(bench.failure).toBe("PIKO_YAMUX_KEEPALIVE");
  });

  it("isn't ended by doubt, however long, while any bytes arrive", () => {
    const bench = new SessionBench("server");
    bench.open();
    const { stream } = bench.open();
    bench.receive(encode("window", "A", stream.id, 0));
    for (let i = 0; i < 60; i++) {
      pass(bench, 1_000);
      bench.receive(encode("data", "", stream.id, hello));
    }
    expect([bench.session.doubt.doubtful, bench.failure]).toEqual([true, undefined]);
  });

  it("keeps queued streams off the wire when others are given up, until the peer answers", () => {
    for (const sign of [PONG, encode("window", "A", 512, 0)]) {
      const bench = new SessionBench("server");
      const open = Array.from({ length: 256 }, () => bench.open());
      const waiting = [bench.open(), bench.open()];
      pass(bench, 1_250);
      bench.sent();
      for (const { stream } of open.slice(0, 200)) stream.reset();
      expect(waiting.map(({ stream }) => stream.unsent)).toEqual([true, true]);
      const late = bench.open();
      expect(late.stream.id).toBe(0);
      waiting.shift()?.stream.reset();
      bench.sent();
      bench.receive(sign);
      expect([waiting[0]?.stream.id, late.stream.id]).toEqual([514, 516]);
    }
  });

  it("sends queued streams when the doubt has ended", () => {
    const bench = new SessionBench("server");
    const open = Array.from({ length: 256 }, () => bench.open());
    pass(bench, 1_250);
    bench.receive(PONG);
    for (const { stream } of open) stream.reset();
    expect(bench.open().stream.id).toBe(514);
    pass(bench, 10_000);
    expect(bench.session.doubt.doubtful).toBe(true);
  });
});

describe("a stream", () => {
  it("is unsent until its first frame", () => {
    const bench = new SessionBench("server");
    const { stream } = bench.open();
    expect(stream.unsent).toBe(true);
    stream.write(hello, 0, 5);
    expect(stream.unsent).toBe(false);
    bench.receive(encode("window", "A", 2, 0));
    expect(stream.unsent).toBe(false);
  });
});
