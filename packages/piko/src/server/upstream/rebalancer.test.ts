import { FakeClock, SeededRandom } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { createSilentLogger } from "../../../test/silent-logger.js";
import { ReconnectWaits } from "./reconnect-waits.js";
import { Rebalancer } from "./rebalancer.js";
import type { Tunnel } from "./tunnel.js";
import { TunnelDrains } from "./tunnel-drains.js";
import { Upstreams } from "./upstreams.js";

/** Nodes with these numbers of tunnels. The first one is tested; each tunnel that it sheds goes to the emptiest other one. */
function create(
  counts: number[],
  options: { threshold?: number; shedRate?: number; minConns?: number; drainable?: boolean } = {},
) {
  const { threshold = 0.2, shedRate = 0.1, minConns = 5, drainable = true } = options;
  const clock = new FakeClock();
  const upstreams = new Upstreams(
    new ReconnectWaits(clock, 0, 0),
    () => {},
    () => 0,
  );
  const random = new SeededRandom(3);
  const others = counts.slice(1);
  let shed = 0;
  for (let i = 0; i < (counts[0] ?? 0); i++) {
    const tunnel = {
      endpointId: `e${i}`,
      state: "active",
      drainable,
      usable: true,
      streamCount: 0,
      sinceMs: 0,
      drain() {
        if (tunnel.state !== "active") return;
        tunnel.state = "gone";
        tunnel.usable = false;
        shed++;
        upstreams.remove(tunnel as unknown as Tunnel);
        const emptiest = others.indexOf(Math.min(...others));
        if (emptiest >= 0) others[emptiest] = (others[emptiest] ?? 0) + 1;
      },
      evict() {
        tunnel.drain();
      },
    };
    upstreams.add(tunnel as unknown as Tunnel);
  }
  const rebalancer = new Rebalancer({
    config: { threshold, shedRate, minConns },
    upstreams,
    drains: new TunnelDrains(clock, () => random.next()),
    others: () => others,
    logger: createSilentLogger(),
    clock,
    random: () => random.next(),
  });
  rebalancer.start();
  return { clock, rebalancer, others, upstreams, shed: () => shed };
}

describe("rebalancing", () => {
  it("brings a node that has all tunnels near the mean, a few each second, then stops", () => {
    const { clock, others, rebalancer, upstreams } = create([300, 0, 0]);
    clock.advance(34_000);
    const early = rebalancer.shed;
    expect(early).toBeGreaterThan(0);
    expect(early).toBeLessThanOrEqual(5 * 30);
    clock.advance(120_000);
    // At most half the threshold above the mean of 100.
    expect(upstreams.tunnelCount).toBeGreaterThanOrEqual(100);
    expect(upstreams.tunnelCount).toBeLessThanOrEqual(110);
    expect(others[0]).toBeGreaterThan(90);
    const { shed } = rebalancer;
    clock.advance(600_000);
    expect(rebalancer.shed).toBe(shed);
  });

  it.each([
    ["all nodes have equally many", [100, 100, 100]],
    ["it is within the threshold", [119, 100, 100]],
    ["it has less than the others", [50, 400, 400]],
    ["it is alone", [1_000]],
    ["it has too few to matter", [4, 0, 0]],
    ["no node has any", [0, 0, 0]],
  ])("sheds nothing if %s", (_when, counts) => {
    const { clock, shed } = create(counts);
    clock.advance(600_000);
    expect(shed()).toBe(0);
  });

  it("is off without a threshold", () => {
    const { clock, shed } = create([1_000, 0], { threshold: 0 });
    clock.advance(60_000);
    expect(shed()).toBe(0);
    clock.assertIdle();
  });

  it("waits until the listeners of other nodes are known", () => {
    const { clock, others, shed } = create([100, 0]);
    // The other node joins, and its listeners become known a moment later.
    clock.advance(60_000 - 56_500);
    others[0] = 100;
    clock.advance(60_000);
    expect(shed()).toBe(0);
  });

  it("sheds until half the threshold, and begins again only above the whole one", () => {
    const { clock, others, upstreams, shed } = create([122, 100]);
    clock.advance(60_000);
    const after = upstreams.tunnelCount;
    expect(after).toBe(122);
    others[0] = 80;
    clock.advance(60_000);
    // The mean is 101: shedding begins above 121.2 and ends at or below 111.1.
    expect(upstreams.tunnelCount).toBeLessThanOrEqual(111);
    const once = shed();
    others[0] = (others[0] ?? 0) - 5;
    clock.advance(60_000);
    expect(shed()).toBe(once);
  });

  it("spares busy agents that can't be asked to move", () => {
    const { clock, upstreams, shed } = create([100, 0], { drainable: false });
    for (const tunnel of upstreams.tunnels()) Object.assign(tunnel, { streamCount: 1 });
    clock.advance(120_000);
    expect(shed()).toBe(0);
    for (const tunnel of upstreams.tunnels()) Object.assign(tunnel, { streamCount: 0 });
    clock.advance(120_000);
    expect(shed()).toBeGreaterThan(30);
  });

  it("spares tunnels that were just opened", () => {
    const { clock, upstreams, shed } = create([100, 0]);
    clock.advance(3_000);
    for (const tunnel of upstreams.tunnels()) Object.assign(tunnel, { sinceMs: 3_000 });
    clock.advance(29_000);
    expect(shed()).toBe(0);
    clock.advance(60_000);
    expect(shed()).toBeGreaterThan(0);
  });

  it("sheds nothing once it is stopped, and leaves no timer", () => {
    for (const threshold of [0, 0.2]) {
      const { clock, rebalancer, shed } = create([300, 0, 0], { threshold });
      rebalancer.stop();
      rebalancer.stop();
      clock.advance(60_000);
      expect(shed()).toBe(0);
      clock.assertIdle();
    }
  });
});
