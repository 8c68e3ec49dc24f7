import { FakeClock } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { type Lookup, parseJoinAddress, resolveJoinAddresses } from "./resolve.js";

const NAMES: Record<string, readonly string[]> = {
  piko: ["10.0.0.1", "fd00::1", "::ffff:10.0.0.3"],
  other: ["10.0.0.1"],
  empty: [],
};

const lookup: Lookup = (host, done) => {
  const ips = NAMES[host];
  if (ips === undefined) done(new Error(`no server answers for ${host}`), []);
  else done(undefined, ips);
};

describe("join addresses", () => {
  it.each([
    ["10.0.0.1", "10.0.0.1", 8_003],
    ["10.0.0.1:1", "10.0.0.1", 1],
    ["::1", "::1", 8_003],
    ["[::1]", "::1", 8_003],
    ["[::1]:1", "::1", 1],
    ["fd00::2:22863", "fd00::2", 22_863],
    ["piko", "piko", 8_003],
    ["piko.default.svc:1", "piko.default.svc", 1],
  ])("%s is parsed", (text, host, port) => {
    expect(parseJoinAddress(text, 8_003)).toEqual({ host, port });
  });

  it.each(["", "host:", "host:x", "host:70000", "[piko]", "a b", "http://piko:8003"])(
    "%j is rejected",
    (text) => {
      expect(() => parseJoinAddress(text, 8_003)).toThrow("invalid join address");
    },
  );

  it("resolve to all records of their names, without duplicates", async () => {
    const { targets, failures } = await resolveJoinAddresses(
      ["piko", "other", "other:1", "10.0.0.9", "::1"],
      {
        defaultPort: 8_003,
        lookup,
      },
    );
    expect(failures).toEqual([]);
    expect(targets).toEqual([
      "10.0.0.1:8003",
      "[fd00::1]:8003",
      "10.0.0.3:8003",
      "10.0.0.1:1",
      "10.0.0.9:8003",
      "[::1]:8003",
    ]);
  });

  it("that are invalid don't affect the others", async () => {
    const { targets, failures } = await resolveJoinAddresses(["bad:port", "nobody", "other", "empty"], {
      defaultPort: 8_003,
      lookup,
    });
    expect(targets).toEqual(["10.0.0.1:8003"]);
    expect(failures.map(({ address, error }) => `${address}: ${error.message}`)).toEqual([
      'bad:port: invalid join address "bad:port"',
      "nobody: resolve nobody: no server answers for nobody",
    ]);
  });

  it("that no one answers for fail in time, and don't delay the others", async () => {
    const clock = new FakeClock();
    const pending = resolveJoinAddresses(["hangs", "10.0.0.1"], {
      defaultPort: 8_003,
      clock,
      lookup: () => {},
    });
    clock.advance(5_000);
    const { targets, failures } = await pending;
    expect(targets).toEqual(["10.0.0.1:8003"]);
    expect(failures[0]?.error.message).toBe("resolve hangs: no answer within 5000 ms");
    clock.assertIdle();
  });
});
