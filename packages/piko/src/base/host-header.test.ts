import { describe, expect, it } from "vitest";
import { hostHeaderOf, isHostHeader } from "./host-header.js";
import { parseServiceAddress } from "./service-address.js";

describe("hostHeaderOf", () => {
  it.each([
    ["", "3000", undefined],
    ["app.test:8080", "3000", "app.test:8080"],
    ["rewrite", "3000", "localhost:3000"],
    ["rewrite", "http://app.internal/base?q", "app.internal"],
    ["rewrite", "https://app.internal:443", "app.internal"],
    ["rewrite", "https://app.internal:80", "app.internal:80"],
    ["rewrite", "http://[::1]:3000", "[::1]:3000"],
    ["rewrite", "https://[::1]", "[::1]"],
  ])("of %j before %s is %s", (setting, service, host) => {
    expect(hostHeaderOf(setting, parseServiceAddress(service, "http"))).toBe(host);
  });
});

describe("isHostHeader", () => {
  it.each(["localhost", "localhost:5173", "app_1.example.com", "[::1]:80", "127.0.0.1"])(
    "accepts %s",
    (text) => {
      expect(isHostHeader(text)).toBe(true);
    },
  );

  it.each(["http://app", "a b", "a/b", "a\r\nb", "a:", "a:http", "::1", "[::1", "a@b"])(
    "rejects %j",
    (text) => {
      expect(isHostHeader(text)).toBe(false);
    },
  );
});
