import { describe, expect, it } from "vitest";
import { readAnnouncedAddress } from "./announced-address.js";

const read = (url: string, port = ""): unknown =>
  readAnnouncedAddress(
    new Map([
      ["x-piko-url", url],
      ["x-piko-proxy-port", port],
    ]),
  );

describe("readAnnouncedAddress", () => {
  it("returns the endpoint's url and the proxy port", () => {
    expect(read("https://e.piko.example.com", "8443;tls")).toEqual({
      url: "https://e.piko.example.com",
      proxyPort: 8443,
      otherAgents: 0,
      proxyTls: true,
    });
    expect(read("http://e.piko.example.com:8000/", "8000")).toMatchObject({
      url: "http://e.piko.example.com:8000",
      proxyTls: false,
    });
  });

  it("returns nothing if the server announces nothing", () => {
    const nothing = { url: undefined, proxyPort: undefined, otherAgents: 0, proxyTls: false };
    expect(readAnnouncedAddress(new Map())).toEqual(nothing);
  });

  it("rejects characters that would change what a terminal shows", () => {
    expect(read("https://e\x9b2J.exam\u202eple.com\x07")).toMatchObject({ url: "https://e2j.example.com" });
  });

  it.each([
    "javascript:alert(1)",
    "e.example.com",
    "https://user:pw@e.example.com",
    `https://${"e".repeat(3_000)}`,
  ])("doesn't accept %.40s as a url", (url) => {
    expect(read(url)).toMatchObject({ url: undefined });
  });

  it.each(["0", "65536", "http", "8000;x", "-1"])("doesn't accept %s as a port", (port) => {
    expect(read("", port)).toMatchObject({ proxyPort: undefined });
  });
});
