import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { FakeClock } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { ATTEMPT_DELAY_MS, interleave, MAX_ADDRESSES, race } from "./race.js";

/** A socket whose outcome the test decides. */
class Attempt extends EventEmitter {
  destroyed = false;

  destroy(): this {
    if (!this.destroyed) {
      this.destroyed = true;
      process.nextTick(() => this.emit("close"));
    }
    return this;
  }

  fail(code: string): void {
    this.destroyed = true;
    this.emit("error", Object.assign(new Error(code), { code }));
    this.emit("close");
  }
}

class Course {
  readonly clock = new FakeClock();
  readonly attempts = new Map<string, Attempt>();
  readonly results: unknown[] = [];
  readonly cancel: () => void;

  constructor(addresses: readonly string[]) {
    const open = (address: string): Socket => {
      const attempt = new Attempt();
      this.attempts.set(address, attempt);
      return attempt as unknown as Socket;
    };
    this.cancel = race(
      addresses,
      open,
      this.clock,
      (error, socket) => void this.results.push(error ?? socket),
    );
  }

  get started(): string[] {
    return [...this.attempts.keys()];
  }

  at(address: string): Attempt {
    const attempt = this.attempts.get(address);
    if (attempt === undefined) throw new Error(`no attempt for ${address}`);
    return attempt;
  }
}

describe("a race", () => {
  it("starts one attempt after the other, while earlier ones continue", () => {
    const course = new Course(["a", "b", "c"]);
    expect(course.started).toEqual(["a"]);
    course.clock.advance(ATTEMPT_DELAY_MS - 1);
    expect(course.started).toEqual(["a"]);
    course.clock.advance(1);
    expect(course.started).toEqual(["a", "b"]);
    course.clock.advance(10 * ATTEMPT_DELAY_MS);
    expect(course.started).toEqual(["a", "b", "c"]);
    course.at("a").emit("connect");
    expect(course.results).toEqual([course.at("a")]);
    expect(["a", "b", "c"].map((each) => course.at(each).destroyed)).toEqual([false, true, true]);
    course.clock.assertIdle();
  });

  it("starts the next attempt as soon as one fails", () => {
    const course = new Course(["a", "b", "c"]);
    course.at("a").fail("ECONNREFUSED");
    expect(course.started).toEqual(["a", "b"]);
    course.at("b").emit("connect");
    expect(course.results).toEqual([course.at("b")]);
    course.clock.assertIdle();
    expect(course.at("b").listenerCount("error")).toBe(0);
  });

  it.each([
    [["ECONNREFUSED"], "ECONNREFUSED"],
    [["ECONNREFUSED", "ECONNREFUSED"], "ECONNREFUSED"],
    [["ENETUNREACH", "ECONNREFUSED"], "ECONNREFUSED"],
    [["EADDRNOTAVAIL", "EADDRNOTAVAIL"], "EADDRNOTAVAIL"],
    [["ETIMEDOUT", "ECONNREFUSED"], undefined],
  ])("fails when all attempts do: %j", (codes, code) => {
    const course = new Course(codes.map((_, i) => `${i}`));
    for (const [i, each] of codes.entries()) {
      expect(course.results).toEqual([]);
      course.at(`${i}`).fail(each);
    }
    expect(course.results).toHaveLength(1);
    expect((course.results[0] as NodeJS.ErrnoException).code).toBe(code);
    course.clock.assertIdle();
  });

  it("calls no callback after it was cancelled", async () => {
    const course = new Course(["a", "b", "c"]);
    course.clock.advance(ATTEMPT_DELAY_MS);
    course.cancel();
    course.at("a").emit("connect");
    await new Promise((resolve) => setImmediate(resolve));
    course.clock.assertIdle();
    expect(course.started).toEqual(["a", "b"]);
    expect(course.at("b").destroyed).toBe(true);
    expect(course.results).toEqual([]);
  });

  it("has a maximum number of addresses", () => {
    const course = new Course(Array.from({ length: MAX_ADDRESSES + 5 }, (_, i) => `${i}`));
    course.clock.advance(100 * ATTEMPT_DELAY_MS);
    expect(course.started).toHaveLength(MAX_ADDRESSES);
    course.clock.assertIdle();
  });
});

describe("addresses", () => {
  it.each([
    [
      ["10.0.0.1", "10.0.0.2", "fd00::1"],
      ["fd00::1", "10.0.0.1", "10.0.0.2"],
    ],
    [
      ["fd00::1", "fd00::2", "10.0.0.1"],
      ["fd00::1", "10.0.0.1", "fd00::2"],
    ],
    [["10.0.0.1", "10.0.0.1"], ["10.0.0.1"]],
    [[], []],
  ])("%j are tried alternately", (given, order) => {
    expect(interleave(given)).toEqual(order);
  });
});
