import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { toRequest } from "./fetch-request.js";

/** The URL of the Request for a request of Node's server, or the status of a refusal. */
function urlFor(url: string, headers: Readonly<Record<string, string>>, method = "GET"): string | number {
  const rawHeaders = Object.entries(headers).flat();
  const incoming = { method, url, headers, rawHeaders } as unknown as IncomingMessage;
  const request = toRequest(incoming, new AbortController().signal);
  return "message" in request ? request.status : request.url;
}

describe("a Request", () => {
  it.each([
    ["/public/admin", "service.test", "http://service.test/public/admin"],
    ["/a?b=%20&c", "service.test:8080", "http://service.test:8080/a?b=%20&c"],
    ["/", "[::1]:80", "http://[::1]/"],
    ["//evil/a", "h", "http://h//evil/a"],
    ["/http://evil/a", "h", "http://h/http://evil/a"],
    ["/@evil", "h", "http://h/@evil"],
    ["*", "h", "http://h/*"],
    ["http://other/x?y", "h", "http://other/x?y"],
    ["http://other", "h", "http://other/"],
    ["HTTPS://other?q", "h", "https://other/?q"],
  ])("for %s with host %s has the path and query of its request line", (url, host, expected) => {
    expect(urlFor(url, { host })).toBe(expected);
  });

  it.each(["/public/admin", "//public/admin", "/?q"])("for %s has them even without a host", (url) => {
    expect(urlFor(url, {})).toBe(`http://localhost${url}`);
    expect(urlFor(url, { host: "" })).toBe(`http://localhost${url}`);
  });

  it("is https if a proxy says so", () => {
    expect(urlFor("/a", { host: "h", "x-forwarded-proto": "https" })).toBe("https://h/a");
    expect(urlFor("/a", { host: "h", "x-forwarded-proto": "x://y" })).toBe("http://h/a");
  });

  it.each([
    "h/evil",
    "h?",
    "h#",
    "u@h",
    "u:p@h",
    "h\\evil",
    "a b",
    "h:99999",
    "h:x",
    ":80",
    "[::1",
    "a|b",
    "%2f",
    "/",
  ])("isn't created for host %j", (host) => {
    expect(urlFor("/admin", { host })).toBe(400);
  });

  it.each([
    "http:///public/admin",
    "http://u@h/",
    "http://",
    "ftp://h/",
    "a",
    "h:80",
    "/a#b",
    "http://h\\@i/",
  ])("isn't created for target %j", (url) => {
    expect(urlFor(url, { host: "h" })).toBe(400);
  });

  it.each(["TRACE", "CONNECT"])("isn't created for %s, which is not implemented", (method) => {
    expect(urlFor("/", { host: "h" }, method)).toBe(501);
  });
});
