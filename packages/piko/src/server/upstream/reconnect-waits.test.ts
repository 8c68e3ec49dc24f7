import { FakeClock } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { ReconnectWaits, WAITS_FULL } from "./reconnect-waits.js";

const WAIT_MS = 5_000;
const MAX_WAITERS = 100;

function create(waitMs = WAIT_MS) {
  const clock = new FakeClock();
  const woken: string[] = [];
  const waiter = (name: string) => ({ onUpstream: () => void woken.push(name) });
  return { clock, waits: new ReconnectWaits(clock, waitMs, MAX_WAITERS), woken, waiter };
}

describe("ReconnectWaits", () => {
  it("lets a request wait for an endpoint that was lost a moment ago", () => {
    const { clock, waits, woken, waiter } = create();
    waits.onLost("e");
    clock.advance(1_000);
    expect(waits.wait("e", waiter("a"))).toBe(clock.now() + WAIT_MS);
    expect(waits.wait("e", waiter("b"))).toBeDefined();
    expect(waits.count).toBe(2);
    waits.onFound("e");
    expect(woken).toEqual(["a", "b"]);
    expect(waits.count).toBe(0);
  });

  it.each([
    ["was never there", () => {}],
    [
      "was lost too long ago",
      (w: ReconnectWaits, clock: FakeClock) => (w.onLost("e"), clock.advance(WAIT_MS + 1)),
    ],
    ["has returned", (w: ReconnectWaits) => (w.onLost("e"), w.onFound("e"))],
  ])("lets no request wait for an endpoint that %s", (_, prepare) => {
    const { clock, waits, waiter } = create();
    prepare(waits, clock);
    expect(waits.wait("e", waiter("a"))).toBeUndefined();
    expect(waits.count).toBe(0);
  });

  it("lets no request wait if it is turned off", () => {
    const { waits, waiter } = create(0);
    waits.onLost("e");
    expect(waits.wait("e", waiter("a"))).toBeUndefined();
  });

  it("forgets a waiter that is cancelled", () => {
    const { waits, woken, waiter } = create();
    const a = waiter("a");
    waits.onLost("e");
    waits.wait("e", a);
    waits.cancel("e", a);
    waits.cancel("e", a);
    waits.onFound("e");
    expect(woken).toEqual([]);
    expect(waits.count).toBe(0);
  });

  it("lets a limited number of requests wait", () => {
    const { waits, waiter } = create();
    waits.onLost("e");
    for (let i = 0; i < MAX_WAITERS; i++) waits.wait("e", waiter("x"));
    expect(waits.wait("e", waiter("y"))).toBe(WAITS_FULL);
    expect(waits.wait("other", waiter("y"))).toBeUndefined();
    expect(waits.count).toBe(MAX_WAITERS);
  });

  it("forgets the oldest of too many endpoints", () => {
    const { waits, waiter } = create();
    for (let i = 0; i <= 10_000; i++) waits.onLost(`e${i}`);
    expect([waits.remembers("e0"), waits.remembers("e1"), waits.remembers("e10000")]).toEqual([
      false,
      true,
      true,
    ]);
    expect(waits.wait("e0", waiter("a"))).toBeUndefined();
    // An endpoint that is lost again becomes the newest.
    waits.onLost("e1");
    waits.onLost("one more");
    expect([waits.remembers("e1"), waits.remembers("e2")]).toEqual([true, false]);
  });

  it("remembers an endpoint for as long as requests may wait for it", () => {
    const { clock, waits } = create();
    expect(waits.remembers("e")).toBe(false);
    waits.onLost("e");
    clock.advance(WAIT_MS);
    expect(waits.remembers("e")).toBe(true);
    clock.advance(1);
    expect(waits.remembers("e")).toBe(false);
  });
});
