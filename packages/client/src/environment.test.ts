import { describe, expect, it } from "vitest";
import { proxyServer, upstreamServer } from "./environment.js";

const all = {
  PIKO_CONNECT_URL: "https://up.test",
  PIKO_CONNECT_TOKEN: "up",
  PIKO_PROXY_URL: "https://proxy.test",
  PIKO_PROXY_TOKEN: "proxy",
};

describe("the environment", () => {
  it("provides a server's url, and the token for it", () => {
    expect(upstreamServer({}, all)).toEqual({ url: "https://up.test", token: "up" });
    expect(proxyServer({}, all)).toEqual({ url: "https://proxy.test", token: "proxy" });
    expect(upstreamServer({}, { PIKO_CONNECT_TOKEN: "up" })).toEqual({
      url: "http://localhost:8001",
      token: "up",
    });
  });

  it("is overridden by the program, whose server never gets the environment's token", () => {
    expect(upstreamServer({ url: "http://a" }, all)).toEqual({ url: "http://a", token: undefined });
    expect(upstreamServer({ token: "mine" }, all)).toEqual({ url: "https://up.test", token: "mine" });
    expect(upstreamServer({ token: "" }, all).token).toBe("");
    expect(proxyServer({ url: "http://a", token: "mine" }, all)).toEqual({ url: "http://a", token: "mine" });
  });

  it("without settings means a server on this machine", () => {
    const empty = { PIKO_CONNECT_URL: "", PIKO_CONNECT_TOKEN: "", PIKO_PROXY_URL: "" };
    expect(upstreamServer({}, empty)).toEqual({ url: "http://localhost:8001", token: undefined });
    expect(proxyServer({}, empty)).toEqual({ url: "http://localhost:8000", token: undefined });
  });
});
