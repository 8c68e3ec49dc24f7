import { FakeClock } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { AwakeClock } from "./awake-clock.js";

function setUp(): { base: FakeClock; clock: AwakeClock; fired: number[]; paused: number[] } {
  const base = new FakeClock(1_000);
  const clock = new AwakeClock(base);
  const paused: number[] = [];
  clock.onPause = (ms) => paused.push(ms);
  return { base, clock, fired: [], paused };
}

describe("AwakeClock", () => {
  it("matches its base clock while the process runs", () => {
    const { base, clock, fired, paused } = setUp();
    for (const ms of [10, 499, 500, 7_000]) clock.setTimeout(() => fired.push(clock.now()), ms);
    base.advance(10_000);
    expect(fired).toEqual([1_010, 1_499, 1_500, 8_000]);
    expect(clock.now()).toBe(11_000);
    expect(paused).toEqual([]);
    base.assertIdle();
  });

  it("excludes a pause except for the time of one check", () => {
    const { base, clock, fired, paused } = setUp();
    clock.setTimeout(() => fired.push(base.now()), 10_000);
    base.advance(3_000);
    base.pause(60_000);
    expect(clock.now()).toBe(1_000 + 3_000 + 500);
    base.advance(6_499);
    expect(fired).toEqual([]);
    base.advance(1);
    expect(fired).toEqual([70_500]);
    expect(paused).toEqual([60_000]);
    expect(clock).toMatchObject({ pauses: 1, stoodStillMs: 60_000, pausedMs: 59_500 });
  });

  it("delays every timer by the pause, whichever runs first after it", () => {
    const { base, clock, fired } = setUp();
    // All are due within the pause, one of them before the next check.
    for (const ms of [2_000, 5_000, 13_000, 700]) clock.setTimeout(() => fired.push(ms), ms);
    base.advance(600);
    base.pause(12_000);
    base.advance(0);
    expect(fired).toEqual([]);
    base.advance(1);
    // 500 ms of the pause count: one timer is due, but runs only after a turn in which bytes are read.
    expect(fired).toEqual([700]);
    base.advance(998);
    expect(fired).toEqual([700]);
    base.advance(1);
    expect(fired).toEqual([700, 2_000]);
    base.advance(3_000);
    expect(fired).toEqual([700, 2_000, 5_000]);
    base.advance(8_000);
    expect(fired).toEqual([700, 2_000, 5_000, 13_000]);
    base.advance(500);
    base.assertIdle();
  });

  it("notices a pause when a callback reads the time before any timer runs", () => {
    const { base, clock, fired } = setUp();
    clock.setTimeout(() => fired.push(1), 3_000);
    const before = clock.now();
    base.pause(12_000);
    const deadline = clock.now() + 1_000;
    expect(clock.now() - before).toBe(500);
    base.advance(999);
    expect(clock.now()).toBeLessThan(deadline);
    expect(fired).toEqual([]);
    base.advance(2_000);
    expect(fired).toEqual([1]);
  });

  it("counts all time while no timer is pending", () => {
    const { base, clock, paused } = setUp();
    const before = clock.now();
    base.pause(60_000);
    expect(clock.now() - before).toBe(60_000);
    base.pause(60_000);
    clock.setTimeout(() => {}, 10);
    base.advance(1_000);
    base.pause(60_000);
    expect(clock.now() - before).toBe(181_000);
    expect(paused).toEqual([]);
  });

  it("advances, if slowly, in a process that is always late", () => {
    const { base, clock, fired } = setUp();
    clock.setTimeout(() => fired.push(base.now()), 5_000);
    for (let i = 0; i < 10; i++) {
      base.pause(3_000);
      base.advance(0);
    }
    base.advance(1);
    expect(fired).toHaveLength(1);
  });

  it("doesn't take small delays for a pause", () => {
    const { base, clock, paused } = setUp();
    clock.setTimeout(() => {}, 60_000);
    for (let i = 0; i < 20; i++) {
      base.pause(900);
      base.advance(0);
    }
    expect(clock.now()).toBe(19_000);
    expect(paused).toEqual([]);
  });

  it("restarts the whole delay of a refreshed timer, after a pause and after it has fired, but not of a cleared one", () => {
    const { base, clock, fired } = setUp();
    const timer = clock.setTimeout(() => fired.push(base.now()), 2_000);
    base.pause(12_000);
    base.advance(100);
    timer.refresh();
    base.advance(1_999);
    expect(fired).toEqual([]);
    base.advance(1);
    expect(fired).toEqual([15_100]);
    timer.refresh();
    base.advance(2_000);
    expect(fired).toEqual([15_100, 17_100]);
    const cleared = clock.setTimeout(() => fired.push(0), 10);
    clock.clearTimeout(cleared);
    cleared.refresh();
    clock.clearTimeout(timer);
    base.advance(10_000);
    expect(fired).toHaveLength(2);
    base.assertIdle();
  });
});
