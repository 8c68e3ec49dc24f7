import { describe, expect, it } from "vitest";
import { explainConnectError, explainRefusal } from "./wrong-port.js";

const UPSTREAM = "/base/piko/v1/upstream/e";
const TCP = "/_piko/v1/tcp/e";

describe("explainRefusal", () => {
  it.each([
    [UPSTREAM, 400, "missing endpoint id", "that is a proxy port; the upstream port is usually 8001"],
    [UPSTREAM, 502, "no available upstreams", "that is a proxy port; the upstream port is usually 8001"],
    [UPSTREAM, 404, "Not Found", "that isn't an upstream port; the upstream port is usually 8001"],
    [TCP, 404, "not found", "that isn't a proxy port; the proxy port is usually 8000"],
    [
      UPSTREAM,
      400,
      "Client sent an HTTP request to an HTTPS server.",
      "the port requires TLS: the url must begin with https://",
    ],
  ])("of %s with %d %s is: %s", (path, status, text, why) => {
    expect(explainRefusal(path, status, text)).toBe(why);
  });

  it.each([
    [UPSTREAM, 502, "Bad Gateway"],
    [UPSTREAM, 401, "invalid token"],
    [UPSTREAM, 400, "invalid websocket handshake"],
    [TCP, 502, "no available upstreams"],
  ])("of %s with %d %s is the server's own", (path, status, text) => {
    expect(explainRefusal(path, status, text)).toBeUndefined();
  });
});

describe("explainConnectError", () => {
  const at = (secure: boolean) => ({ host: "::1", port: 8001, secure });
  const error = (code: string): Error => Object.assign(new Error("x"), { code });

  it("suggests checking the server, and detects a mismatch of TLS", () => {
    expect(explainConnectError(at(false), error("ECONNREFUSED"))).toContain("is piko server running there?");
    expect(explainConnectError(at(true), error("ERR_SSL_WRONG_VERSION_NUMBER"))).toBe(
      "the port has no TLS: the url must begin with http://[::1]:8001",
    );
    expect(explainConnectError(at(false), error("EPROTO"))).toBeUndefined();
    expect(explainConnectError(at(true), error("ENOTFOUND"))).toBeUndefined();
    expect(explainConnectError(at(true), undefined)).toBeUndefined();
  });
});
