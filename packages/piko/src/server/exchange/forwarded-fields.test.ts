import { describe, expect, it } from "vitest";
import { HEAD_COMPLETE, RequestHead } from "../../http/head.js";
import { parseRequestHead } from "../../http/h1/parse-request-head.js";
import { AddressRanges } from "../../base/address-ranges.js";
import type { MutableRewrite } from "../../http/request-rewrite.js";
import { ForwardedFields, forwardedClient } from "./forwarded-fields.js";

type ForwardedRewrite = Pick<MutableRewrite, "forwardedProto" | "forwardedHost" | "host">;

function parse(fields: string): RequestHead {
  const head = new RequestHead(20);
  const bytes = Buffer.from(`GET / HTTP/1.1\r\nHost: web.test\r\n${fields}\r\n`, "latin1");
  expect(parseRequestHead(head, bytes, 0, bytes.length)).toBe(HEAD_COMPLETE);
  return head;
}

describe("ForwardedFields", () => {
  const set = (fields: string, trusted: boolean, secure = false): (string | undefined)[] => {
    const rewrite: ForwardedRewrite = {
      forwardedProto: undefined,
      forwardedHost: undefined,
      host: undefined,
    };
    new ForwardedFields().set(rewrite, parse(fields), "e", trusted, secure);
    return [rewrite.forwardedProto?.toString(), rewrite.forwardedHost?.toString()];
  };
  const sent = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n";

  it("replace the values of untrusted clients", () => {
    expect(set(sent, false)).toEqual(["http", "web.test"]);
  });

  it("have https for a client that uses TLS with the node", () => {
    expect(set(sent, false, true)).toEqual(["https", "web.test"]);
    expect(set("x-forwarded-host: shop.example\r\n", true, true)).toEqual(["https", undefined]);
  });

  it("keep the values of a trusted proxy", () => {
    expect(set(sent, true)).toEqual([undefined, undefined]);
  });

  it("add what a trusted proxy leaves out", () => {
    expect(set("x-forwarded-proto: https\r\n", true)).toEqual([undefined, "web.test"]);
    expect(set("x-forwarded-host: shop.example\r\n", true)).toEqual(["http", undefined]);
  });

  it("follow the host of each request, and copy it only when it changes", () => {
    const fields = new ForwardedFields();
    const rewrite: ForwardedRewrite = {
      forwardedProto: undefined,
      forwardedHost: undefined,
      host: undefined,
    };
    const head = new RequestHead(20);
    const hosts = ["a.test", "a.test", "b.test", "b.test:80", ""].map((host) => {
      const bytes = Buffer.from(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`, "latin1");
      expect(parseRequestHead(head, bytes, 0, bytes.length)).toBe(HEAD_COMPLETE);
      fields.set(rewrite, head, "e", false, false);
      bytes.fill(0);
      return rewrite.forwardedHost;
    });
    expect(hosts.map(String)).toEqual(["a.test", "a.test", "b.test", "b.test:80", ""]);
    expect(hosts[0]).toBe(hosts[1]);
  });
});

describe("forwardedClient", () => {
  const trusted = new AddressRanges(["10.0.0.0/8", "fd00::/8"]);
  const client = (fields: string): string =>
    forwardedClient(parse(fields), "10.0.0.1", (address) => trusted.includes(address));

  it.each([
    ["", "10.0.0.1"],
    ["X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"],
    ["X-Forwarded-For: 198.51.100.9, 192.0.2.1\r\n", "192.0.2.1"],
    ["X-Forwarded-For: 198.51.100.9, 192.0.2.1, 10.0.0.2,fd00::1\r\n", "192.0.2.1"],
    ["X-Forwarded-For: 198.51.100.9\r\nX-Other: 1\r\nx-forwarded-for: 192.0.2.1\r\n", "192.0.2.1"],
    ["X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.0.0.2\r\n", "192.0.2.1"],
    ["X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3"],
    ["X-Forwarded-For: 192.0.2.1:1234\r\n", "192.0.2.1"],
    ["X-Forwarded-For: [2001:db8::1]:1234\r\n", "2001:db8::1"],
    ["X-Forwarded-For: [2001:db8::1]\r\n", "2001:db8::1"],
    ["X-Forwarded-For: ::ffff:192.0.2.1\r\n", "192.0.2.1"],
    ["X-Forwarded-For: 192.0.2.1, unknown\r\n", "10.0.0.1"],
    ["X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.2\r\n", "10.0.0.2"],
    ["X-Forwarded-For:\r\n", "10.0.0.1"],
    ['X-Forwarded-For: "},{"\r\n', "10.0.0.1"],
  ])("of %j is %s", (fields, address) => {
    expect(client(fields)).toBe(address);
  });
});
