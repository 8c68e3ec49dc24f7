import { describe, expect, it } from "vitest";
import { acceptKey, isValidKey, randomKey, switchingProtocols, upgradeRequest } from "./handshake.js";

describe("the server's answer", () => {
  it("has the accept value of RFC 6455 section 1.3", () => {
    expect(acceptKey("dGhlIHNhbXBsZSBub25jZQ==")).toBe("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  });

  it("is identical to a Go server's, byte for byte", () => {
    expect(Buffer.from(switchingProtocols("MDEyMzQ1Njc4OWFiY2RlZg==")).toString("hex")).toBe(
      "485454502f312e312031303120537769746368696e672050726f746f636f6c730d0a557067726164653a20776562736f636b65740d0a" +
        "436f6e6e656374696f6e3a20557067726164650d0a5365632d576562536f636b65742d4163636570743a204241435363434a504e71" +
        "797a2b55426f714d483839566d55526f413d0d0a0d0a",
    );
  });

  it("includes additional header lines", () => {
    const text = switchingProtocols("MDEyMzQ1Njc4OWFiY2RlZg==", "x-piko-node-id: a\r\n");
    expect(text.endsWith("RoA=\r\nx-piko-node-id: a\r\n\r\n")).toBe(true);
  });
});

describe("isValidKey", () => {
  it("accepts new keys", () => {
    for (let i = 0; i < 50; i++) expect(isValidKey(randomKey())).toBe(true);
  });

  it.each([
    "",
    "dGhlIHNhbXBsZSBub25jZQ",
    "dGhlIHNhbXBsZSBub25jZQ=",
    "dGhlIHNhbXBsZSBub25jZQ== ",
    "dGhlIHNhbXBsZSBub25jZQ===",
    "dGhlIHNhbXBsZSBub25j",
    "dGhlIHNhbXBsZSBub25jZWRlZg==",
    "-GhlIHNhbXBsZSBub25jZ_==",
    "!!dGhlIHNhbXBsZSBub25jZQ==",
  ])("rejects %j, as Go's decoder does", (key) => {
    expect(isValidKey(key)).toBe(false);
  });
});

describe("upgradeRequest", () => {
  const request = { host: "127.0.0.1:21210", path: "/piko/v1/upstream/ep", key: "Wva0HodW1fsc63ZUtGsRKw==" };

  it("is identical to a Go agent's, byte for byte", () => {
    expect(upgradeRequest({ ...request, headers: [["User-Agent", "Go-http-client/1.1"]] })).toBe(
      Buffer.from(
        "474554202f70696b6f2f76312f757073747265616d2f657020485454502f312e310d0a486f73743a203132372e302e30" +
          "2e313a32313231300d0a557365722d4167656e743a20476f2d687474702d636c69656e742f312e310d0a436f6e6e6563" +
          "74696f6e3a20557067726164650d0a5365632d576562536f636b65742d4b65793a2057766130486f6457316673633633" +
          "5a55744773524b773d3d0d0a5365632d576562536f636b65742d56657273696f6e3a2031330d0a557067726164653a20" +
          "776562736f636b65740d0a0d0a",
        "hex",
      ).toString("latin1"),
    );
  });

  it.each([
    ["a header value", { headers: [["a", "b\r\nc: d"]] }],
    ["a header name", { headers: [["a\nb", "c"]] }],
    ["a path", { path: "/a b", headers: [] }],
    ["a path with a line break", { path: "/a\r\nb", headers: [] }],
  ] as const)("rejects %s that would corrupt the head", (_name, change) => {
    expect(() => upgradeRequest({ ...request, ...change })).toThrow(TypeError);
  });
});
