import { describe, expect, it } from "vitest";
import { canonicalIp, parsePeerAddress } from "./peer-address.js";

describe("a node's address", () => {
  it.each([
    ["10.0.0.1:8003", "10.0.0.1", 8_003],
    ["[::1]:8003", "::1", 8_003],
    ["[fd00:0::2]:1", "fd00::2", 1],
    // Go Piko doesn't write brackets.
    ["fd00::2:22863", "fd00::2", 22_863],
    ["[::ffff:10.0.0.1]:8003", "10.0.0.1", 8_003],
    ["[fe80::1%eth0]:8003", "fe80::1%eth0", 8_003],
    ["piko-0.piko.default.svc:65535", "piko-0.piko.default.svc", 65_535],
    ["node_1:8003", "node_1", 8_003],
  ])("%s is parsed", (text, host, port) => {
    expect(parsePeerAddress(text)).toEqual({ host, port });
  });

  it.each([
    "",
    ":8003",
    "10.0.0.1",
    "10.0.0.1:",
    "10.0.0.1:0",
    "10.0.0.1:65536",
    "10.0.0.1:80x",
    "host:123456",
    "0.0.0.0:8003",
    "255.255.255.255:8003",
    "224.0.0.1:8003",
    "[::]:8003",
    "[ff02::1]:8003",
    "[::ffff:224.0.0.1]:8003",
    "[host]:8003",
    "[::1]8003",
    "ho st:8003",
    "-host:8003",
    "host/path:8003",
    "user@host:8003",
    `${"x".repeat(300)}:8003`,
  ])("%s is rejected", (text) => {
    expect(parsePeerAddress(text)).toBeUndefined();
  });

  it.each([
    ["10.0.0.1", "10.0.0.1"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["FD00:0::1", "fd00::1"],
    ["::1", "::1"],
  ])("%s is compared as %s", (ip, plain) => {
    expect(canonicalIp(ip)).toBe(plain);
  });
});
