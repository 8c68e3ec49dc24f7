import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EndpointPatterns } from "./endpoint-patterns.js";
import { findOverlaps, meet } from "./tenant-overlap.js";

describe("endpoint patterns", () => {
  it.each([
    [[], "anything", true],
    [["web"], "web", true],
    [["web"], "WEB", false],
    [["web"], "web2", false],
    [["other", "web"], "web", true],
    [[""], "web", false],
    [["*"], "web", true],
    [["*"], "", true],
    [["team-a-*"], "team-a-", true],
    [["team-a-*"], "team-a-x", true],
    [["team-a-*"], "team-b-x", false],
    [["team-a-*"], "xteam-a-", false],
    [["*-web"], "a-web", true],
    [["*-web"], "a-webs", false],
    [["a*a"], "a", false],
    [["a*a"], "aa", true],
    [["a*b*c"], "abc", true],
    [["a*b*c"], "axxbyyc", true],
    [["a*b*c"], "acb", false],
    [["a*b*b"], "ab", false],
    [["**"], "x", true],
    [["w.b"], "web", false],
    [["w?b"], "web", false],
  ] as const)("%j and %j: %s", (patterns, id, expected) => {
    expect(new EndpointPatterns(patterns).match(id)).toBe(expected);
  });

  const text = fc.string({ unit: fc.constantFrom("a", "b", "*"), maxLength: 8 });
  const plain = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 8 });
  const naive = (pattern: string): RegExp => new RegExp(`^${pattern.replaceAll("*", ".*")}$`);

  it("match what the equivalent regular expression matches", () => {
    fc.assert(
      fc.property(text, plain, (pattern, id) => {
        expect(new EndpointPatterns([pattern]).match(id)).toBe(naive(pattern).test(id));
      }),
    );
  });

  it("overlap if some id matches both", () => {
    fc.assert(
      fc.property(text, text, plain, (a, b, id) => {
        if (naive(a).test(id) && naive(b).test(id)) expect(meet(a, b)).toBe(true);
      }),
    );
    expect(meet("a*", "b*")).toBe(false);
    expect(meet("*a", "*b")).toBe(false);
    expect(meet("team-a-*", "team-*-web")).toBe(true);
  });

  it("of tenants are compared, and tenants without any are listed", () => {
    const tenant = (id: string, endpoints: string[]): never => ({ id, endpoints }) as never;
    const tenants = [tenant("a", ["a-*", "x"]), tenant("b", ["b-*"]), tenant("c", ["*-1"]), tenant("d", [])];
    expect(findOverlaps(tenants)).toEqual({
      unbound: ["d"],
      pairs: ["a and c: a-*, *-1", "b and c: b-*, *-1"],
    });
  });
});
