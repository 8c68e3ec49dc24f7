import { FakeClock } from "@piko/testkit";
import { AwakeClock, faults } from "@piko/tunnel";
import { describe, expect, it } from "vitest";
import { DeadlineSweep, SWEEP_INTERVAL_MS } from "./deadline-sweep.js";

describe("DeadlineSweep", () => {
  it("sweeps while there are members, and leaves no timer afterwards", () => {
    const clock = new FakeClock();
    const sweep = new DeadlineSweep(clock);
    const seen: number[] = [];
    const member = { sweep: (nowMs: number) => void seen.push(nowMs) };
    sweep.add(member);
    clock.advance(SWEEP_INTERVAL_MS * 3);
    expect(seen).toHaveLength(3);
    sweep.remove(member);
    expect(clock.pending).toBe(0);
    clock.advance(SWEEP_INTERVAL_MS * 3);
    expect(seen).toHaveLength(3);
  });

  it("lets members leave during a sweep", () => {
    const clock = new FakeClock();
    const sweep = new DeadlineSweep(clock);
    let calls = 0;
    const one = { sweep: () => (calls++, sweep.remove(one)) };
    const two = { sweep: () => (calls++, sweep.remove(two)) };
    sweep.add(one);
    sweep.add(two);
    clock.advance(SWEEP_INTERVAL_MS * 2);
    expect(calls).toBe(2);
    expect(clock.pending).toBe(0);
  });

  it("ends a member that throws, and checks the others", () => {
    const reported: unknown[] = [];
    const { report } = faults;
    faults.report = (error) => void reported.push(error);
    const clock = new FakeClock();
    const sweep = new DeadlineSweep(clock);
    let faulty = 0;
    let calls = 0;
    const fault = new Error("planted");
    const one = {
      sweep: () => {
        throw fault;
      },
      onFault: () => void faulty++,
    };
    const two = { sweep: () => void calls++ };
    sweep.add(one);
    sweep.add(two);
    clock.advance(SWEEP_INTERVAL_MS * 2);
    expect([reported, faulty, calls]).toEqual([[fault], 1, 2]);
    sweep.remove(two);
    expect(clock.pending).toBe(0);
    faults.report = report;
  });

  it("lets no deadline pass while the process stands still", () => {
    const base = new FakeClock();
    const clock = new AwakeClock(base);
    const sweep = new DeadlineSweep(clock);
    const expired: number[] = [];
    const deadline = clock.now() + 10_000;
    const member = { sweep: (nowMs: number) => void (nowMs >= deadline && expired.push(base.now())) };
    sweep.add(member);
    base.advance(5_000);
    base.pause(12_000);
    base.advance(4_000);
    expect(expired).toEqual([]);
    base.advance(1_000);
    expect(expired).not.toEqual([]);
    sweep.remove(member);
  });
});
