// The fields that nodes read from each other: each meaningful value, and similar ones that mean nothing.

import { describe, expect, it } from "vitest";
import { requestHead, responseHead } from "../../../../test/memory-heads.js";
import { isForwarded, reroutedBy, mayReroute } from "./forwarded.js";

const withField = (field: string) => requestHead(`GET / HTTP/1.1\r\nHost: e.test\r\n${field}`);

describe("a request of another node", () => {
  it.each([
    ["x-piko-forward: true", true],
    ["X-Piko-Forward: true", true],
    ["x-piko-forward: True", false],
    ["x-piko-forward: 1", false],
    ["x-forward: true", false],
  ])("with %s makes no further hop: %s", (field, is) => {
    expect(isForwarded(withField(field))).toBe(is);
  });

  it.each([
    ["x-piko-hop-capabilities: reroute", true],
    ["x-piko-hop-capabilities: a, Reroute", true],
    ["x-piko-hop-capabilities: rerouted", false],
    ["x-piko-capabilities: reroute", false],
  ])("with %s may be sent back: %s", (field, is) => {
    expect(mayReroute(withField(field))).toBe(is);
  });
});

describe("a response of another node", () => {
  it.each([
    ["502 Bad Gateway", "x-piko-reroute: true", "gone"],
    ["502 Bad Gateway", "x-piko-reroute: elsewhere", "elsewhere"],
    ["502 Bad Gateway", "x-piko-reroute: never", "no"],
    ["502 Bad Gateway", "X: y", "no"],
    ["200 OK", "x-piko-reroute: true", "no"],
  ])("of %s with %s sends its request back: %s", (status, field, rerouted) => {
    expect(reroutedBy(responseHead(`HTTP/1.1 ${status}\r\n${field}`))).toBe(rerouted);
  });
});
