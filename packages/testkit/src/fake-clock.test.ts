import { describe, expect, it } from "vitest";
import { FakeClock } from "./fake-clock.js";

describe("FakeClock", () => {
  it("stands still until it is advanced", () => {
    const clock = new FakeClock(100);
    expect(clock.now()).toBe(100);
    clock.advance(50);
    expect(clock.now()).toBe(150);
  });

  it("runs timers in the order of their due times, and equal ones in the order in which they were set", () => {
    const clock = new FakeClock();
    const ran: string[] = [];
    clock.setTimeout(() => ran.push("c"), 20);
    clock.setTimeout(() => ran.push("a"), 10);
    clock.setTimeout(() => ran.push("b"), 10);
    clock.advance(20);
    expect(ran).toEqual(["a", "b", "c"]);
  });

  it("shows a callback the time at which it is due, and runs timers that it sets in the same advance", () => {
    const clock = new FakeClock();
    const times: number[] = [];
    clock.setTimeout(() => {
      times.push(clock.now());
      clock.setTimeout(() => times.push(clock.now()), 5);
    }, 10);
    clock.advance(30);
    expect(times).toEqual([10, 15]);
  });

  it("restarts a refreshed timer's delay, even after the timer has fired", () => {
    const clock = new FakeClock();
    let fired = 0;
    const timer = clock.setTimeout(() => fired++, 10);
    clock.advance(9);
    timer.refresh();
    clock.advance(9);
    expect(fired).toBe(0);
    clock.advance(1);
    expect(fired).toBe(1);
    timer.refresh();
    clock.advance(10);
    expect(fired).toBe(2);
  });

  it("never runs a cleared timer, refreshed or not", () => {
    const clock = new FakeClock();
    let fired = 0;
    const timer = clock.setTimeout(() => fired++, 10);
    clock.clearTimeout(timer);
    timer.refresh();
    clock.advance(100);
    expect(fired).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it("names the timers that are still pending", () => {
    const clock = new FakeClock();
    clock.assertIdle();
    clock.setTimeout(() => {}, 250);
    expect(() => clock.assertIdle()).toThrow("timers still pending, due in: 250 ms");
  });
});
