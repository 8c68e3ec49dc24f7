import { describe, expect, it } from "vitest";
import { HEAD_COMPLETE, RequestHead } from "../../http/head.js";
import { parseRequestHead } from "../../http/h1/parse-request-head.js";
import { endpointIdOf, missingHost } from "./named-endpoint.js";

function endpointOf(fields: string, last = ""): string {
  const head = new RequestHead(10);
  const bytes = Buffer.from(`GET / HTTP/1.1\r\n${fields}\r\n`, "latin1");
  expect(parseRequestHead(head, bytes, 0, bytes.length)).toBe(HEAD_COMPLETE);
  return endpointIdOf(head, last);
}

describe("endpointIdOf", () => {
  it.each([
    ["Host: foo.example.com", "foo"],
    ["Host: foo.example.com:8000", "foo"],
    ["Host: Foo.x", "Foo"],
    ["Host: foo.", "foo"],
    ["Host: localhost:8000", ""],
    ["Host: localhost", ""],
    ["Host: 10.0.0.1", ""],
    ["Host: 10.0.0.1:8000", ""],
    ["Host: 1.2.3", "1"],
    ["Host: [::1]:80", ""],
    ["Host: [::ffff:1.2.3.4]", ""],
    ["Host: a.b\r\nx-piko-endpoint: other", "other"],
    ["Host: a.b\r\nX-Piko-Endpoint: first\r\nx-piko-endpoint: second", "first"],
    ["Host: a.b\r\nx-piko-endpoint:", "a"],
    ["Host: localhost\r\nx-piko-endpoint: with/slash", "with/slash"],
    // In UTF-8, or else in Latin-1 if it isn't valid UTF-8.
    ["Host: a.b\r\nx-piko-endpoint: caf\xc3\xa9", "café"],
    ["Host: a.b\r\nx-piko-endpoint: \xe6\x97\xa5\xe6\x9c\xac", "日本"],
    ["Host: a.b\r\nx-piko-endpoint: \xf0\x9f\x90\x9f", "🐟"],
    ["Host: a.b\r\nx-piko-endpoint: caf\xe9", "café"],
    ["Host: a.b\r\nx-piko-endpoint: \xc3\x83\xc2\xa9", "\xc3\xa9"],
  ])("finds the endpoint of %j", (fields, endpointId) => {
    expect(endpointOf(`${fields}\r\n`)).toBe(endpointId);
    for (const last of [
      "foo",
      "Foo",
      "fop",
      "fo",
      "foo.",
      "1",
      "\u0166oo",
      "caf\xc3\xa9",
      "\xc3\x83\xc2\xa9",
      endpointId,
    ]) {
      expect(endpointOf(`${fields}\r\n`, last)).toBe(endpointId);
    }
  });
});

describe("missingHost", () => {
  it.each([
    ["GET / HTTP/1.0\r\n", "my-endpoint", "my-endpoint"],
    ["GET / HTTP/1.0\r\nHost:\r\n", "my-endpoint", "my-endpoint"],
    ["GET / HTTP/1.1\r\nHost: \t\r\n", "my-endpoint", "my-endpoint"],
    ["GET / HTTP/1.1\r\nHost: h\r\n", "my-endpoint", undefined],
    ["GET http://h/ HTTP/1.0\r\n", "my-endpoint", undefined],
    ["GET / HTTP/1.0\r\n", "a b", undefined],
    ["GET / HTTP/1.0\r\n", "café", undefined],
    ["GET / HTTP/1.0\r\n", "a\r\nX: y", undefined],
  ])("of a head with %j for endpoint %j is %j", (text, endpointId, host) => {
    const head = new RequestHead(10);
    const bytes = Buffer.from(`${text}\r\n`, "latin1");
    expect(parseRequestHead(head, bytes, 0, bytes.length)).toBe(HEAD_COMPLETE);
    expect(missingHost(head, endpointId)?.toString()).toBe(host);
  });
});
