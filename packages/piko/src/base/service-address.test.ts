import { expect, it } from "vitest";
import { parseServiceAddress, parseUrl } from "./service-address.js";

it.each([
  ["3000", { scheme: "http", host: "localhost", port: 3_000, path: "", query: "" }],
  ["app:80", { scheme: "http", host: "app", port: 80, path: "", query: "" }],
  ["http://app", { scheme: "http", host: "app", port: 80, path: "", query: "" }],
  ["https://app/", { scheme: "https", host: "app", port: 443, path: "", query: "" }],
  ["HTTP://app:81/a/b/?x=1&y", { scheme: "http", host: "app", port: 81, path: "/a/b", query: "x=1&y" }],
  ["http://[::1]:81", { scheme: "http", host: "::1", port: 81, path: "", query: "" }],
])("parses the HTTP service %s", (text, parts) => {
  expect(parseServiceAddress(text, "http")).toEqual({ ...parts, text });
});

it.each([
  ["3000", "h2c", "http", 3_000],
  ["http://app", "h2c", "http", 80],
  ["3000", "h2", "https", 3_000],
  ["https://app", "h2", "https", 443],
  ["50051", "grpc", "http", 50_051],
  ["http://app", "grpc", "http", 80],
  ["https://app", "grpc", "https", 443],
] as const)("has TLS or none: %s by %s", (text, protocol, scheme, port) => {
  expect(parseServiceAddress(text, protocol)).toMatchObject({ scheme, port });
});

it("parses a TCP service", () => {
  const parts = { scheme: "tcp", host: "redis", port: 6_379, path: "", query: "", text: "redis:6379" };
  expect(parseServiceAddress("redis:6379", "tcp")).toEqual(parts);
});

it.each([
  ["http://app:80", "tcp", "too many colons"],
  ["0", "http", "port 0 can't be connected to"],
  ["ftp://app", "http", 'invalid url: scheme "ftp"'],
  ["http://", "http", 'invalid url "http://"'],
  ["https://app", "h2c", "protocol h2c doesn't use TLS: set h2 or grpc"],
  ["http://app", "h2", "protocol h2 uses TLS: set h2c or grpc"],
] as const)("rejects %s for %s", (text, protocol, message) => {
  expect(() => parseServiceAddress(text, protocol)).toThrow(message);
});

it("never quotes a URL that could contain a password", () => {
  expect(() => parseUrl("http://user:hunter2@:x", ["http"])).toThrow(/^(?!.*hunter2)invalid url: must be/);
  expect(() => parseUrl("ftp://user:hunter2@host", ["http"])).toThrow(
    /^(?!.*hunter2)invalid url: scheme "ftp"/,
  );
});
