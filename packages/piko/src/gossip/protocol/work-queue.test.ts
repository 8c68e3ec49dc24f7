import type { Clock, Timer } from "@piko/tunnel";
import { describe, expect, it } from "vitest";
import { WorkQueue } from "./work-queue.js";

/** A clock on which only pieces of work take time, a millisecond each. */
class BusyClock implements Clock {
  /** Work done in each turn of the event loop. */
  readonly turns: string[][] = [[]];
  #now = 0;
  #due: (() => void) | undefined;

  piece(name: string): void {
    this.turns.at(-1)?.push(name);
    this.#now += 1;
  }

  now(): number {
    return this.#now;
  }

  setTimeout(callback: () => void): Timer {
    this.#due = callback;
    return { refresh: () => undefined };
  }

  clearTimeout(): void {
    this.#due = undefined;
  }

  turn(): boolean {
    const due = this.#due;
    this.#due = undefined;
    this.turns.push([]);
    due?.();
    return due !== undefined;
  }
}

function pieces(clock: BusyClock, name: string, count: number): Iterator<void, string> {
  return (function* () {
    for (let i = 0; i < count; i++) {
      clock.piece(name);
      yield;
    }
    return name;
  })();
}

describe("long work", () => {
  it("that is short is done at once", () => {
    const clock = new BusyClock();
    const done: unknown[] = [];
    new WorkQueue(clock).run(pieces(clock, "a", 3), (error, result) => done.push(error, result));
    expect(done).toEqual([undefined, "a"]);
  });

  it("takes a few milliseconds of a turn in total, and doesn't keep short work waiting", () => {
    const clock = new BusyClock();
    const queue = new WorkQueue(clock);
    const done: string[] = [];
    for (const [name, count] of [
      ["a", 40],
      ["b", 40],
      ["c", 2],
    ] as const)
      queue.run(pieces(clock, name, count), (_error, result) => done.push(result ?? "?"));
    while (clock.turn());
    expect(done).toEqual(["c", "a", "b"]);
    expect(Math.max(...clock.turns.map((turn) => turn.length))).toBeLessThanOrEqual(5);
  });

  it("that throws ends with its error, and the rest continues", () => {
    const clock = new BusyClock();
    const queue = new WorkQueue(clock);
    const done: unknown[] = [];
    const failing: Iterator<void, string> = {
      next() {
        throw new Error("bad");
      },
    };
    queue.run(failing, (error) => done.push((error as Error).message));
    queue.run(pieces(clock, "a", 1), (_error, result) => done.push(result));
    expect(done).toEqual(["bad", "a"]);
  });

  it("ends with the queue", () => {
    const clock = new BusyClock();
    const queue = new WorkQueue(clock);
    const done: unknown[] = [];
    queue.run(pieces(clock, "a", 40), () => done.push("a"));
    queue.close();
    expect(clock.turn()).toBe(false);
    expect(done).toEqual([]);
  });
});
