import { FakeClock } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import type { TenantConfig } from "../../config/auth.js";
import { RateLimit } from "../../net/rate-limit.js";
import { TenantUse, TenantUses } from "./tenant-use.js";

const none = {
  maxTunnels: Number.POSITIVE_INFINITY,
  maxEndpoints: Number.POSITIVE_INFINITY,
  requestsPerSecond: Number.POSITIVE_INFINITY,
  requestsPerSecondPerEndpoint: Number.POSITIVE_INFINITY,
};
const tunnel = (endpointId: string): { endpointId: string } => ({ endpointId });

describe("a rate", () => {
  it("is granted evenly over each second", () => {
    const rate = new RateLimit(4, 0);
    const taken = (ms: number): number => {
      let count = 0;
      while (rate.take(ms)) count++;
      return count;
    };
    expect([0, 100, 250, 500, 1_500, 9_000].map(taken)).toEqual([4, 0, 1, 1, 4, 4]);
  });

  it("of 1 allows one request in each second", () => {
    const rate = new RateLimit(1, 0);
    expect([0, 999, 1_000, 1_001].map((ms) => rate.take(ms))).toEqual([true, false, true, false]);
  });
});

describe("a tenant's use", () => {
  it("counts each tunnel once, and endpoints while they have a tunnel", () => {
    const use = new TenantUse({ ...none, maxTunnels: 3, maxEndpoints: 2 }, new FakeClock());
    const [a, b, c] = [tunnel("e"), tunnel("e"), tunnel("f")];
    for (const each of [a, b]) use.add(each);
    expect([use.fullFor("e"), use.fullFor("f")]).toEqual([undefined, undefined]);
    use.remove(b);
    use.remove(b);
    use.add(c);
    expect([use.fullFor("e"), use.fullFor("g")]).toEqual([undefined, "tenant_max_endpoints"]);
    use.add(b);
    expect(use.fullFor("e")).toBe("tenant_max_tunnels");
    for (const each of [a, b, c]) use.remove(each);
    expect(use.fullFor("g")).toBeUndefined();
  });

  it("limits requests of all its endpoints, and of each endpoint", () => {
    const clock = new FakeClock();
    const use = new TenantUse({ ...none, requestsPerSecond: 3, requestsPerSecondPerEndpoint: 2 }, clock);
    use.add(tunnel("e"));
    use.add(tunnel("f"));
    const answers = ["e", "e", "e", "f", "f"].map((id) => use.enter(id));
    expect(answers).toEqual([
      undefined,
      undefined,
      "requests_per_second_per_endpoint",
      undefined,
      "requests_per_second",
    ]);
    clock.advance(1_000);
    expect(use.enter("e")).toBeUndefined();
  });

  it("keeps its tunnels and used rates when its limits change", () => {
    const clock = new FakeClock();
    const config = (id: string, more: object = {}): TenantConfig =>
      ({ ...none, id, ...more }) as TenantConfig;
    const uses = new TenantUses([config("a"), config("b")], clock);
    const use = uses.find("a");
    use?.add(tunnel("e"));
    uses.set([config("a", { maxTunnels: 1, requestsPerSecond: 1, requestsPerSecondPerEndpoint: 1 })]);
    expect([uses.find("a"), uses.find("b")]).toEqual([use, undefined]);
    expect(use?.fullFor("e")).toBe("tenant_max_tunnels");
    expect([use?.enter("e"), use?.enter("e")]).toEqual([undefined, "requests_per_second_per_endpoint"]);
    // A used-up rate isn't renewed by a change of another limit.
    uses.set([config("a", { requestsPerSecond: 1, requestsPerSecondPerEndpoint: 1 })]);
    expect([use?.fullFor("e"), use?.enter("e")]).toEqual([undefined, "requests_per_second_per_endpoint"]);
    uses.set([config("a", { requestsPerSecond: 1 })]);
    expect(use?.enter("e")).toBe("requests_per_second");
    uses.set([config("a")]);
    expect([use?.enter("e"), use?.enter("e")]).toEqual([undefined, undefined]);
  });
});
