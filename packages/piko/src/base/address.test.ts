import { describe, expect, it } from "vitest";
import { formatHostPort, parseHostPort, parseTcpAddress } from "./address.js";

describe("parseHostPort", () => {
  it.each([
    [":8000", "", 8_000],
    [":0", "", 0],
    ["127.0.0.1:80", "127.0.0.1", 80],
    ["localhost:65535", "localhost", 65_535],
    ["[::1]:80", "::1", 80],
    ["[fe80::1%eth0]:80", "fe80::1%eth0", 80],
    ["piko-0.piko:8000", "piko-0.piko", 8_000],
  ])("reads %s, and prints it the same", (text, host, port) => {
    expect(parseHostPort(text)).toEqual({ host, port });
    expect(formatHostPort({ host, port })).toBe(text);
  });

  it.each([
    ["8000", "missing port"],
    ["localhost", "missing port"],
    ["[::1]", "missing port"],
    ["::1", "too many colons"],
    ["a:b:1", "too many colons"],
    ["[::1:80", "misplaced brackets"],
    ["x[::1]:80", "misplaced brackets"],
    [":65536", 'port "65536" must be a number from 0 to 65535'],
    [":http", 'port "http" must be'],
    [":", 'port "" must be'],
    [":-1", 'port "-1" must be'],
    ["a b:80", 'invalid host "a b"'],
    ["[host]:80", 'invalid host "host"'],
    ["http://host:80", "too many colons"],
  ])("rejects %s", (text, reason) => {
    expect(() => parseHostPort(text)).toThrow(`invalid address ${JSON.stringify(text)}: ${reason}`);
  });
});

describe("parseTcpAddress", () => {
  it.each([
    ["3000", "localhost", 3_000],
    [":3000", "localhost", 3_000],
    ["db:5432", "db", 5_432],
  ])("reads %s", (text, host, port) => {
    expect(parseTcpAddress(text)).toEqual({ host, port });
  });

  it("rejects a port that is too large", () => {
    expect(() => parseTcpAddress("70000")).toThrow('invalid address "70000"');
  });
});
