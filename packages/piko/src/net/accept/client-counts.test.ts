import { describe, expect, it } from "vitest";
import { ClientCounts } from "./client-counts.js";

describe("ClientCounts", () => {
  it("limits the connections of each client, and allows another one when one ends", () => {
    const counts = new ClientCounts(2);
    expect(["a", "a", "a", "b"].map((address) => counts.enter(address))).toEqual([true, true, false, true]);
    expect(counts.highest).toBe(2);
    counts.leave("a");
    expect(counts.enter("a")).toBe(true);
  });

  it("counts the addresses of one IPv6 network as one client", () => {
    const counts = new ClientCounts(1);
    expect(counts.enter("2001:db8:1:2::1")).toBe(true);
    expect(counts.enter("2001:db8:1:2:ffff::1")).toBe(false);
    expect(counts.enter("2001:db8:1:3::1")).toBe(true);
  });

  it("forgets a client when its last connection ends", () => {
    const counts = new ClientCounts(1);
    counts.enter("a");
    counts.leave("a");
    counts.leave("a");
    expect(counts.highest).toBe(0);
    expect(counts.enter("a")).toBe(true);
  });

  it("counts nothing without a limit", () => {
    const counts = new ClientCounts(Number.POSITIVE_INFINITY);
    expect(counts.enter("a")).toBe(true);
    expect(counts.highest).toBe(0);
  });
});
