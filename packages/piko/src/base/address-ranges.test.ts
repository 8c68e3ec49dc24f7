import { describe, expect, it } from "vitest";
import { AddressRanges } from "./address-ranges.js";

describe("AddressRanges", () => {
  const ranges = new AddressRanges(["10.0.0.0/8", "192.0.2.7", "fd00::/8", "2001:db8::1"]);

  it.each(["10.0.0.0", "10.255.255.255", "192.0.2.7", "fd12::1", "2001:db8::1", "2001:0db8:0:0::0001"])(
    "contains %s",
    (address) => {
      expect(ranges.includes(address)).toBe(true);
    },
  );

  it.each([
    "9.255.255.255",
    "11.0.0.0",
    "192.0.2.8",
    "fe00::1",
    "2001:db8::2",
    "",
    "unknown",
    "10.0.0",
    "::",
  ])("doesn't contain %j", (address) => {
    expect(ranges.includes(address)).toBe(false);
  });

  it("contains all addresses of one family if a network has no prefix bits", () => {
    const all = new AddressRanges(["0.0.0.0/0"]);
    expect(all.includes("203.0.113.1")).toBe(true);
    expect(all.includes("2001:db8::1")).toBe(false);
  });

  it("contains nothing if it is empty", () => {
    const none = new AddressRanges([]);
    expect(none.empty).toBe(true);
    expect(none.includes("10.0.0.1")).toBe(false);
  });

  it.each([
    "10.0.0.0/33",
    "10.0.0/8",
    "fd00::/129",
    "fd00::/",
    "10.0.0.0/08",
    "10.0.0.0/-1",
    "host",
    "",
    "fe80::1%eth0",
    "10.0.0.0/8/8",
  ])("rejects %j", (entry) => {
    expect(() => new AddressRanges([entry])).toThrow(`invalid address range ${JSON.stringify(entry)}`);
  });
});
