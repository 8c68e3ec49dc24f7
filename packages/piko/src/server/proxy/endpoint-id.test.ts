import { describe, expect, it } from "vitest";
import { HEAD_COMPLETE, RequestHead } from "../../http/head.js";
import { parseRequestHead } from "../../http/h1/parse-request-head.js";
import { endpointIdOf } from "./endpoint-id.js";

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
  ])("finds the endpoint of %j", (fields, endpointId) => {
    expect(endpointOf(`${fields}\r\n`)).toBe(endpointId);
    for (const last of ["foo", "Foo", "fop", "fo", "foo.", "1", "\u0166oo", endpointId]) {
      expect(endpointOf(`${fields}\r\n`, last)).toBe(endpointId);
    }
  });
});
