// When a peer is doubtful, in every order of events on the stream or ping that is timed.

import { FakeClock, SeededRandom } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { Doubt } from "./doubt.js";
import type { YamuxStream } from "./stream.js";

const LOOK_MS = 250;

/** A doubt that is checked as a node does it, on a clock that the test advances. */
class Bench {
  readonly clock = new FakeClock(1_000_000);
  readonly doubt: Doubt;
  pings = 0;
  /** Times at which `doubtful` changed. */
  readonly changes: number[] = [];
  #last = this.clock.now();

  constructor() {
    this.doubt = new Doubt(() => {
      this.pings++;
      this.doubt.onPing();
    });
  }

  /** Opens a stream that isn't accepted yet. */
  open(): YamuxStream {
    const stream = {} as YamuxStream;
    this.doubt.onOpened(stream);
    return stream;
  }

  look(): void {
    this.#last = this.clock.now();
    if (this.doubt.look(this.clock.now())) this.changes.push(this.clock.now());
  }

  /** Advances time; `each` is what the peer does after each check. */
  pass(ms: number, each: () => void = () => {}): void {
    const until = this.clock.now() + ms;
    while (this.#last + LOOK_MS <= until) {
      this.clock.pause(Math.max(0, this.#last + LOOK_MS - this.clock.now()));
      this.look();
      each();
    }
    this.clock.pause(until - this.clock.now());
  }

  /** Advances time with a peer that answers. */
  live(ms: number): void {
    this.pass(ms, () => this.doubt.onPong());
  }
}

describe("doubt", () => {
  it("begins when a stream has been pending for a second, and continues while a ping is unanswered", () => {
    const bench = new Bench();
    const start = bench.clock.now();
    bench.open();
    bench.pass(1_000);
    expect(bench.doubt.doubtful).toBe(false);
    bench.pass(250);
    expect([bench.doubt.doubtful, bench.doubt.reason, bench.pings]).toEqual([true, "stream", 1]);
    expect(bench.doubt.sinceMs).toBe(start + 1_000);
    bench.pass(100_000);
    expect([bench.doubt.doubtful, bench.pings, bench.changes.length]).toEqual([true, 1, 1]);
  });

  it("begins when a ping is unanswered for that long, which proves less", () => {
    const bench = new Bench();
    bench.doubt.onPing();
    bench.pass(1_250);
    expect([bench.doubt.doubtful, bench.doubt.reason]).toEqual([true, "ping"]);
  });

  it("doesn't begin with streams that are accepted in time, one after the other or many at once", () => {
    const bench = new Bench();
    bench.live(250);
    for (let i = 0; i < 40; i++) {
      const streams = [bench.open(), bench.open(), bench.open()];
      bench.live(750);
      for (const stream of streams) bench.doubt.onAnswered(stream);
    }
    expect([bench.changes, bench.pings]).toEqual([[], 0]);
  });

  it("costs neither pings nor checks while nothing is pending", () => {
    const bench = new Bench();
    bench.pass(600_000);
    expect([bench.changes, bench.pings]).toEqual([[], 0]);
  });

  it("continues for half a second after the sign of life, with pings that are answered", () => {
    const bench = new Bench();
    const stream = bench.open();
    bench.pass(5_000);
    bench.doubt.onAnswered(stream);
    bench.doubt.onPong();
    bench.live(500);
    expect(bench.doubt.doubtful).toBe(true);
    bench.live(250);
    expect([bench.doubt.doubtful, bench.doubt.sinceMs]).toEqual([false, 0]);
  });

  it("continues if that sign of life was the only one", () => {
    const bench = new Bench();
    const stream = bench.open();
    bench.pass(5_000);
    bench.doubt.onAnswered(stream);
    bench.doubt.onPong();
    bench.pass(60_000);
    expect([bench.doubt.doubtful, bench.changes.length]).toEqual([true, 1]);
  });

  it("lasts twice as long after each further late answer, up to ten seconds", () => {
    const bench = new Bench();
    const holds: number[] = [];
    for (let i = 0; i < 8; i++) {
      const stream = bench.open();
      bench.pass(2_000, () => {});
      bench.doubt.onAnswered(stream);
      bench.doubt.onPong();
      const answered = bench.clock.now();
      bench.live(12_000);
      holds.push((bench.changes.at(-1) ?? 0) - answered);
    }
    const steps = [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000];
    for (const [i, step] of steps.entries()) {
      expect(holds[i]).toBeGreaterThanOrEqual(step);
      expect(holds[i]).toBeLessThanOrEqual(step + 2 * LOOK_MS);
    }
    expect(bench.changes).toHaveLength(16);
  });

  it("forgets late answers after a minute", () => {
    const bench = new Bench();
    for (let i = 0; i < 4; i++) {
      const stream = bench.open();
      bench.pass(2_000);
      bench.doubt.onAnswered(stream);
      bench.doubt.onPong();
      bench.live(62_000);
    }
    expect((bench.changes.at(-1) ?? 0) - (bench.changes.at(-2) ?? 0)).toBeLessThanOrEqual(2_000);
  });

  it("isn't prevented by streams that are given up before their second has passed", () => {
    const bench = new Bench();
    for (let i = 0; i < 4; i++) {
      const stream = bench.open();
      bench.pass(500);
      bench.doubt.onGivenUp(stream);
    }
    expect(bench.doubt.doubtful).toBe(true);
  });

  it("ends by pings alone if every stream was given up", () => {
    const bench = new Bench();
    const stream = bench.open();
    bench.pass(2_000);
    bench.doubt.onGivenUp(stream);
    bench.pass(10_000);
    expect(bench.doubt.doubtful).toBe(true);
    bench.doubt.onPong();
    bench.live(1_000);
    expect(bench.doubt.doubtful).toBe(false);
  });

  it.each([600, 900, 4_000, 60_000])("excludes %i ms in which this process was stopped", (pauseMs) => {
    for (const before of [0, 100, 250, 500, 700]) {
      const bench = new Bench();
      bench.pass(1_000);
      const stream = bench.open();
      bench.pass(before);
      bench.clock.pause(pauseMs);
      bench.look();
      expect(bench.doubt.doubtful).toBe(false);
      // What arrived meanwhile is read now.
      bench.doubt.onAnswered(stream);
      bench.live(10_000);
      expect(bench.changes).toEqual([]);
    }
  });

  it("can also begin in a process that is always late", () => {
    const bench = new Bench();
    bench.open();
    for (let i = 0; i < 8; i++) {
      bench.clock.pause(900);
      bench.look();
    }
    expect(bench.doubt.doubtful).toBe(true);
  });

  it("is right in any order of events", () => {
    for (let seed = 1; seed <= 300; seed++) play(seed);
  });
});

/** Plays random events, and tracks the truth separately from the doubt. */
function play(seed: number): void {
  const random = new SeededRandom(seed);
  const bench = new Bench();
  const open = new Set<YamuxStream>();
  let pings = 0;
  /** Time in which something was pending without any answer of the peer. */
  let silentMs = 0;
  let givenUp = false;
  bench.look();
  for (let step = 0; step < 200; step++) {
    const event = random.int(0, 6);
    const wasDoubtful = bench.doubt.doubtful;
    if (event === 0) open.add(bench.open());
    else if (event === 1) {
      if (open.size === 0 && bench.pings === pings) continue;
      for (const stream of open) bench.doubt.onAnswered(stream);
      if (bench.pings > pings) bench.doubt.onPong();
      open.clear();
      pings = bench.pings;
      silentMs = 0;
    } else if (event === 2) {
      const [stream] = open;
      if (stream !== undefined) {
        bench.doubt.onGivenUp(stream);
        open.delete(stream);
        givenUp = true;
      }
    } else if (event === 3) {
      // Of a pause, only the time of one check counts.
      if (open.size > 0 || bench.pings > pings) silentMs += LOOK_MS;
      bench.clock.pause(random.int(600, 20_000));
      bench.look();
    } else {
      const ms = LOOK_MS * random.int(1, 6);
      bench.pass(ms);
      if (open.size > 0 || bench.pings > pings) silentMs += ms;
    }
    const { doubtful, sinceMs } = bench.doubt;
    const wrong =
      // Doubt begins after a second of silence, to which pauses of this process don't count. Streams that were given up here
      // might have been accepted: the ping that replaces them shows whether the peer runs.
      (doubtful && !wasDoubtful && silentMs < (givenUp ? 250 : 750)) ||
      // While in doubt, it pings, so that doubt can end.
      (doubtful && bench.pings === 0) ||
      sinceMs > 0 !== doubtful;
    if (wrong) throw new Error(`seed ${seed}, step ${step}: ${silentMs} ms, ${bench.pings} pings`);
  }
  // Whatever happened before: a peer that answers is trusted soon, and one that doesn't isn't.
  for (const stream of open) bench.doubt.onAnswered(stream);
  bench.doubt.onPong();
  bench.live(12_000);
  expect(bench.doubt.doubtful, `seed ${seed}, in the end`).toBe(false);
  bench.open();
  bench.pass(1_500);
  expect(bench.doubt.doubtful, `seed ${seed}, silent`).toBe(true);
}
