import { FakeClock, SeededRandom } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import type { Tunnel } from "./tunnel.js";
import { TunnelDrains } from "./tunnel-drains.js";

/** A tunnel that records its calls, and whose agent is controlled by the test. */
class FakeTunnel {
  state = "active";
  streamCount = 0;
  held = false;
  usable = true;
  readonly recorded: string[] = [];
  readonly drainable: boolean;
  readonly #clock: FakeClock;

  constructor(clock: FakeClock, drainable: boolean) {
    this.#clock = clock;
    this.drainable = drainable;
  }

  drain(): void {
    if (this.state !== "active") return;
    this.state = "draining";
    this.#record("drain");
  }

  hold(held: boolean): void {
    this.held = held;
    this.#record(held ? "hold" : "let go");
  }

  evict(): void {
    this.state = "gone";
    this.usable = false;
    this.#record("evict");
  }

  /** The agent has another tunnel and closes this one. */
  move(): void {
    this.usable = false;
    if (this.streamCount === 0) this.state = "gone";
  }

  #record(what: string): void {
    this.recorded.push(`${what} ${this.#clock.now()}`);
  }
}

function create(agents: readonly boolean[], options: { windowMs?: number; deadlineMs?: number } = {}) {
  const clock = new FakeClock();
  const random = new SeededRandom(7);
  const drains = new TunnelDrains(clock, () => random.next());
  const tunnels = agents.map((drainable) => new FakeTunnel(clock, drainable));
  const begin = (): void =>
    drains.begin(
      tunnels as unknown as Tunnel[],
      options.windowMs ?? 10_000,
      options.deadlineMs ?? Number.POSITIVE_INFINITY,
    );
  let moved = false;
  const watch = (): void => void drains.moved().then(() => (moved = true));
  return { clock, drains, tunnels, begin, watch, moved: async () => (await Promise.resolve(), moved) };
}

const times = (tunnels: readonly FakeTunnel[], what: string): number[] =>
  tunnels
    .flatMap(({ recorded }) => recorded.filter((each) => each.startsWith(what)))
    .map((each) => Number(each.split(" ").at(-1)));

describe("draining tunnels", () => {
  it("asks a capable agent to move, and waits for it to close", async () => {
    const { clock, tunnels, begin, watch, moved } = create([true]);
    const [tunnel] = tunnels as [FakeTunnel];
    tunnel.streamCount = 1;
    begin();
    watch();
    clock.advance(30_000);
    expect(tunnel.recorded).toEqual(["drain 0"]);
    expect(await moved()).toBe(false);
    tunnel.move();
    clock.advance(50);
    expect(await moved()).toBe(true);
    tunnel.state = "gone";
    clock.advance(50);
    clock.assertIdle();
  });

  it("cuts off a capable agent that finds nothing better, once it is idle", () => {
    const { clock, tunnels, begin } = create([true, true]);
    const [idle, busy] = tunnels as [FakeTunnel, FakeTunnel];
    busy.streamCount = 1;
    begin();
    clock.advance(6_000);
    expect(idle.recorded.at(-1)).toMatch(/^evict 5/);
    expect(busy.recorded).toHaveLength(1);
    busy.streamCount = 0;
    clock.advance(50);
    expect(busy.state).toBe("gone");
    clock.assertIdle();
  });

  it("cuts off other agents when they are idle", () => {
    const { clock, tunnels, begin } = create([false, false]);
    const [idle, busy] = tunnels as [FakeTunnel, FakeTunnel];
    busy.streamCount = 1;
    begin();
    clock.advance(400);
    expect(idle.state).toBe("gone");
    busy.streamCount = 0;
    clock.advance(50);
    expect(busy.recorded.map((each) => each.split(" ")[0])).toEqual(["drain", "evict"]);
    clock.assertIdle();
  });

  it("holds back requests from a busy one for short times, until it is idle in one of them", () => {
    const { clock, tunnels, begin } = create([false]);
    const [tunnel] = tunnels as [FakeTunnel];
    tunnel.streamCount = 3;
    begin();
    clock.advance(13_000);
    expect(tunnel.recorded).toEqual(["drain 0", "hold 500", "let go 2500", "hold 10500", "let go 12500"]);
    clock.advance(8_000);
    expect(tunnel.held).toBe(true);
    tunnel.streamCount = 0;
    clock.advance(50);
    expect(tunnel.state).toBe("gone");
  });

  it("cuts off all remaining agents at the deadline", async () => {
    const { clock, tunnels, begin, watch, moved } = create([true, false], { deadlineMs: 20_000 });
    for (const tunnel of tunnels) tunnel.streamCount = 1;
    begin();
    watch();
    clock.advance(19_950);
    expect(tunnels.map(({ state }) => state)).toEqual(["draining", "draining"]);
    clock.advance(50);
    expect(tunnels.map(({ state }) => state)).toEqual(["gone", "gone"]);
    expect(await moved()).toBe(true);
    clock.assertIdle();
  });

  it("spreads many over the window, capable agents first", () => {
    const { clock, tunnels, begin } = create(Array.from({ length: 200 }, (_, i) => i % 2 === 0));
    begin();
    clock.advance(9_999);
    const capable = times(
      tunnels.filter(({ drainable }) => drainable),
      "drain",
    );
    const others = times(
      tunnels.filter(({ drainable }) => !drainable),
      "drain",
    );
    expect(capable).toHaveLength(100);
    expect(Math.max(...capable)).toBeLessThanOrEqual(5_000);
    expect(Math.min(...others)).toBeGreaterThanOrEqual(5_000);
    // At most two in one tick, by the spacing.
    const perTick = new Map<number, number>();
    for (const at of [...capable, ...others]) perTick.set(at, (perTick.get(at) ?? 0) + 1);
    expect(Math.max(...perTick.values())).toBeLessThanOrEqual(2);
  });

  it("doesn't spread a few over the whole window", () => {
    const { clock, tunnels, begin } = create([true, true, true, true]);
    begin();
    clock.advance(1_000);
    expect(times(tunnels, "drain")).toHaveLength(4);
  });

  it("has nothing to wait for without tunnels", async () => {
    const { drains, clock } = create([]);
    await drains.moved();
    clock.assertIdle();
  });

  it("forgets all tunnels when it is closed", async () => {
    const { clock, drains, tunnels, begin, watch, moved } = create([true]);
    (tunnels[0] as FakeTunnel).streamCount = 1;
    begin();
    watch();
    drains.close();
    expect(await moved()).toBe(true);
    clock.assertIdle();
  });
});
