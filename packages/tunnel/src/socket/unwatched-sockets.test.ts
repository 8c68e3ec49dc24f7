import { FakeClock } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { CHECK_INTERVAL_MS, UnwatchedSockets } from "./unwatched-sockets.js";

class Socket {
  checks = 0;
  onCheck: () => void = () => {};
  checkPeer(): void {
    this.checks++;
    this.onCheck();
  }
}

describe("unwatched sockets", () => {
  it("are checked until they are removed, and no timer runs without any", () => {
    const clock = new FakeClock();
    const unwatched = new UnwatchedSockets(clock);
    const [one, other] = [new Socket(), new Socket()];
    unwatched.add(one);
    unwatched.add(other);
    clock.advance(CHECK_INTERVAL_MS - 1);
    expect([one.checks, other.checks]).toEqual([0, 0]);
    clock.advance(1);
    unwatched.delete(one);
    clock.advance(CHECK_INTERVAL_MS);
    expect([one.checks, other.checks]).toEqual([1, 2]);
    unwatched.delete(other);
    clock.advance(CHECK_INTERVAL_MS);
    clock.assertIdle();
    unwatched.add(one);
    clock.advance(CHECK_INTERVAL_MS);
    expect(one.checks).toBe(2);
  });

  it("may end themselves and each other during a check", () => {
    const clock = new FakeClock();
    const unwatched = new UnwatchedSockets(clock);
    const [one, other] = [new Socket(), new Socket()];
    one.onCheck = () => {
      unwatched.delete(one);
      unwatched.delete(other);
    };
    unwatched.add(one);
    unwatched.add(other);
    clock.advance(CHECK_INTERVAL_MS);
    clock.advance(CHECK_INTERVAL_MS);
    expect(one.checks).toBe(1);
    clock.assertIdle();
  });
});
