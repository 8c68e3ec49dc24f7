import { describe, expect, test } from "vitest";
import { HEAD_COMPLETE, RequestHead } from "../head.js";
import { parseRequestHead } from "./parse-request-head.js";
import { requestHeadCapacity, writeRequestHead } from "./rewrite-request-head.js";
import type { RequestRewrite } from "../request-rewrite.js";

const NOTHING: RequestRewrite = {
  forwardedFor: undefined,
  forwardedProto: undefined,
  forwardedHost: undefined,
  host: undefined,
  requestId: undefined,
  trace: undefined,
  addForward: false,
  hopSecret: undefined,
  credentialField: -1,
  addReroute: false,
  connectionClose: false,
  pathPrefix: undefined,
  query: undefined,
};

function rewrite(text: string, changes: Partial<RequestRewrite> = {}): string {
  const head = new RequestHead(40);
  const buffer = Buffer.from(`junk${text}body`, "latin1");
  expect(parseRequestHead(head, buffer, 4, buffer.length), head.error?.message).toBe(HEAD_COMPLETE);
  const options = { ...NOTHING, ...changes };
  const out = Buffer.alloc(3 + requestHeadCapacity(head, options), 0x7e);
  const end = writeRequestHead(head, out, 3, options);
  expect(end).toBeLessThanOrEqual(out.length);
  return out.toString("latin1", 3, end);
}

const lines = (...all: string[]): string => [...all, "", ""].join("\r\n");
const request = (...fields: string[]): string => lines("GET / HTTP/1.1", "Host: h", ...fields);
const buffer = (text: string): Buffer => Buffer.from(text, "latin1");

describe("a request head for the next hop", () => {
  test("is the same when nothing has to change", () => {
    const text = lines(
      'PROPFIND /a//b%2F/../c|?x="y" HTTP/1.1',
      "x-lower:1",
      "Host:  svc.example.com:8000 ",
      "Trailer: A",
      "Content-Length: 0007",
      "Cookie: a=b; c=\xff",
      "Expect: 100-continue",
      "x-piko-endpoint: e",
      "Authorization: Bearer t",
      "x-lower: 2",
    );
    expect(rewrite(text)).toBe(text);
  });

  test("lacks the credential that authenticated its sender, except in one form for another node", () => {
    const fields = [
      "Authorization: Bearer t",
      "A: b",
      "authorization: Basic x",
      "x-piko-authorization:",
      "C: d",
    ];
    const byAuthorization = { credentialField: 1 };
    expect(rewrite(request(...fields), byAuthorization)).toBe(request("A: b", "C: d"));
    expect(rewrite(request(...fields), { ...byAuthorization, addForward: true })).toBe(
      request("A: b", "C: d", "x-piko-forward: true", "x-piko-authorization: Bearer t"),
    );
    const both = [
      "X-Piko-Authorization: Bearer t",
      "Authorization: Basic own",
      "x-piko-authorization: Bearer u",
    ];
    const byOwn = { credentialField: 1 };
    expect(rewrite(request(...both), byOwn)).toBe(request("Authorization: Basic own"));
    expect(rewrite(request(...both), { ...byOwn, addForward: true })).toBe(
      request("Authorization: Basic own", "x-piko-forward: true", "x-piko-authorization: Bearer t"),
    );
    // No credential was checked: the next node may check it.
    expect(rewrite(request(...both), { addForward: true })).toBe(request(...both, "x-piko-forward: true"));
    expect(rewrite(request(...both))).toBe(request("Authorization: Basic own"));
  });

  test("lacks hop-by-hop fields and the ones that Connection names", () => {
    const text = request(
      "Connection: keep-alive, X-Hop, trailer",
      "A: b",
      "x-hop: 1",
      "X-HOP: 2",
      "Keep-Alive: timeout=5",
      "Trailer: T",
      "Proxy-Connection: close",
      "Proxy-Authorization: Basic x",
      "Proxy-Authenticate: y",
      "HTTP2-Settings: z",
      "TE: gzip",
      "Upgrade: h2c",
      "X-Hope: kept",
      "connection: close",
    );
    expect(rewrite(text)).toBe(request("A: b", "X-Hope: kept"));
  });

  test("never passes the fields between nodes on to a service", () => {
    const text = request(
      "X-Piko-Forward: true",
      "x-piko-authorization: Bearer t",
      "x-piko-tenant-id: t",
      "A: b",
    );
    expect(rewrite(text)).toBe(request("A: b"));
  });

  test("is marked as forwarded for another node, and keeps the fields that the node checks", () => {
    const text = request("x-piko-forward: no", "x-piko-authorization: Bearer t", "x-piko-tenant-id: t");
    expect(rewrite(text, { addForward: true })).toBe(
      request("x-piko-authorization: Bearer t", "x-piko-tenant-id: t", "x-piko-forward: true"),
    );
  });

  test("announces to nodes only that a request can be returned, and never passes that on from others", () => {
    const text = request("x-piko-hop-capabilities: reroute", "A: b");
    expect(rewrite(text)).toBe(request("A: b"));
    expect(rewrite(text, { addForward: true })).toBe(request("A: b", "x-piko-forward: true"));
    expect(rewrite(text, { addForward: true, addReroute: true })).toBe(
      request("A: b", "x-piko-forward: true", "x-piko-hop-capabilities: reroute"),
    );
  });

  test("has the given host if its own is missing", () => {
    const host = Buffer.from("my-endpoint");
    const expected = lines("GET /a HTTP/1.1", "Host: my-endpoint", "A: b");
    expect(rewrite(lines("GET /a HTTP/1.0", "A: b"), { host })).toBe(expected);
    for (const version of ["1.0", "1.1"]) {
      expect(rewrite(lines(`GET /a HTTP/${version}`, "Host:", "A: b"), { host })).toBe(expected);
      expect(rewrite(lines(`GET /a HTTP/${version}`, "A: b", "host: \t "), { host })).toBe(expected);
    }
  });

  test("has the given host instead of the client's, whatever form the target has", () => {
    const host = Buffer.from("localhost:5173");
    const expected = lines("GET /a HTTP/1.1", "Host: localhost:5173", "A: b");
    expect(rewrite(lines("GET /a HTTP/1.1", "A: b", "Host: public.example.com"), { host })).toBe(expected);
    expect(rewrite(lines("GET http://x.y/a HTTP/1.1", "Host: x.y", "A: b"), { host })).toBe(expected);
  });

  test("has its framing, trailers and connection in one form", () => {
    const text = request("transfer-encoding:CHUNKED", "te: Trailers;q=1, trailers", "Connection: TE");
    expect(rewrite(text, { connectionClose: true })).toBe(
      request("Transfer-Encoding: chunked", "TE: trailers", "Connection: close"),
    );
  });

  test("keeps an upgrade, and never adds close to it", () => {
    const text = request(
      "upgrade:  WebSocket, x/1 ",
      "Connection: keep-alive, upgrade",
      "Sec-WebSocket-Key: k",
    );
    expect(rewrite(text, { connectionClose: true })).toBe(
      request("Sec-WebSocket-Key: k", "Connection: Upgrade", "Upgrade: WebSocket, x/1"),
    );
  });

  test("joins X-Forwarded-For and appends the peer's address", () => {
    const forwardedFor = buffer("192.0.2.1");
    expect(rewrite(request("A: b"), { forwardedFor })).toBe(request("A: b", "X-Forwarded-For: 192.0.2.1"));
    expect(
      rewrite(request("x-forwarded-for: a, b", "A: b", "X-Forwarded-For:", "X-FORWARDED-FOR: c"), {
        forwardedFor,
      }),
    ).toBe(request("A: b", "X-Forwarded-For: a, b, c, 192.0.2.1"));
    expect(rewrite(request("X-Forwarded-For: a"))).toBe(request("X-Forwarded-For: a"));
  });

  test("replaces X-Forwarded-Proto and X-Forwarded-Host if asked to", () => {
    const text = request("X-Forwarded-Proto: gopher", "X-Forwarded-Host: evil");
    expect(rewrite(text)).toBe(text);
    expect(rewrite(text, { forwardedProto: buffer("https"), forwardedHost: buffer("h") })).toBe(
      request("X-Forwarded-Proto: https", "X-Forwarded-Host: h"),
    );
  });

  test.each([
    [
      "GET http://Svc:80/x?y HTTP/1.1\r\nA: b\r\nHost: svc:80\r\n\r\n",
      "GET /x?y HTTP/1.1\r\nHost: Svc:80\r\nA: b\r\n\r\n",
    ],
    ["GET http://svc HTTP/1.1\r\nHost: svc\r\n\r\n", "GET / HTTP/1.1\r\nHost: svc\r\n\r\n"],
    ["GET http://svc?q HTTP/1.1\r\nHost: svc\r\n\r\n", "GET /?q HTTP/1.1\r\nHost: svc\r\n\r\n"],
    ["OPTIONS http://svc HTTP/1.1\r\nHost: svc\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: svc\r\n\r\n"],
    ["OPTIONS * HTTP/1.1\r\nHost: svc\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: svc\r\n\r\n"],
    ["GET /a HTTP/1.0\r\nExpect: x\r\nConnection: keep-alive\r\n\r\n", "GET /a HTTP/1.1\r\nHost: \r\n\r\n"],
    ["GET /a HTTP/1.0\r\n\r\n", "GET /a HTTP/1.1\r\nHost: \r\n\r\n"],
    ["GET /a HTTP/1.0\r\nhost: h\r\n\r\n", "GET /a HTTP/1.1\r\nhost: h\r\n\r\n"],
    ["GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n"],
  ])("is in origin form and HTTP/1.1: %j", (text, expected) => {
    expect(rewrite(text)).toBe(expected);
  });

  test.each([
    ["/a?b=c", "/base", undefined, "/base/a?b=c"],
    ["/a", "/base/", undefined, "/base/a"],
    ["/", "/", undefined, "/"],
    ["/a", "", undefined, "/a"],
    ["/a", "/base", "x=1", "/base/a?x=1"],
    ["/a?b=c?d", "/base", "x=1", "/base/a?x=1&b=c?d"],
    ["/a?", undefined, "x=1", "/a?x=1"],
    ["/a?b", undefined, "", "/a?b"],
    ["http://h?b", "/base", "x=1", "/base/?x=1&b"],
    ["http://h", "/base", undefined, "/base/"],
  ])("joins %s with the service's path %s and query %s", (target, pathPrefix, query, expected) => {
    const written = rewrite(lines(`GET ${target} HTTP/1.1`, "Host: h"), {
      pathPrefix: pathPrefix === undefined ? undefined : buffer(pathPrefix),
      query: query === undefined ? undefined : buffer(query),
    });
    expect(written).toBe(lines(`GET ${expected} HTTP/1.1`, "Host: h"));
  });

  test("keeps the asterisk form if the service has a path", () => {
    const text = lines("OPTIONS * HTTP/1.1", "Host: h");
    expect(rewrite(text, { pathPrefix: buffer("/base"), query: buffer("x=1") })).toBe(text);
  });
});
