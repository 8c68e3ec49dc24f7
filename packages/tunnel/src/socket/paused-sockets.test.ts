import { FakeClock } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { CHECK_INTERVAL_MS, PausedSockets } from "./paused-sockets.js";

class Socket {
  checks = 0;
  onCheck: () => void = () => {};
  checkPeer(): void {
    this.checks++;
    this.onCheck();
  }
}

describe("paused sockets", () => {
  it("are looked at until they read again, and nothing waits without one", () => {
    const clock = new FakeClock();
    const paused = new PausedSockets(clock);
    const [one, other] = [new Socket(), new Socket()];
    paused.add(one);
    paused.add(other);
    clock.advance(CHECK_INTERVAL_MS - 1);
    expect([one.checks, other.checks]).toEqual([0, 0]);
    clock.advance(1);
    paused.delete(one);
    clock.advance(CHECK_INTERVAL_MS);
    expect([one.checks, other.checks]).toEqual([1, 2]);
    paused.delete(other);
    clock.advance(CHECK_INTERVAL_MS);
    clock.assertIdle();
    paused.add(one);
    clock.advance(CHECK_INTERVAL_MS);
    expect(one.checks).toBe(2);
  });

  it("may end themselves and each other while they are looked at", () => {
    const clock = new FakeClock();
    const paused = new PausedSockets(clock);
    const [one, other] = [new Socket(), new Socket()];
    one.onCheck = () => {
      paused.delete(one);
      paused.delete(other);
    };
    paused.add(one);
    paused.add(other);
    clock.advance(CHECK_INTERVAL_MS);
    clock.advance(CHECK_INTERVAL_MS);
    expect(one.checks).toBe(1);
    clock.assertIdle();
  });
});
