import { describe, expect, it } from "vitest";
import { parsePublicUrl, publicUrlOf } from "./public-url.js";

describe("parsePublicUrl", () => {
  it.each([
    ["https://{endpoint}.piko.example.com", "https://{endpoint}.piko.example.com"],
    ["http://{endpoint}.LOCALHOST:8000/", "http://{endpoint}.localhost:8000"],
    ["https://{endpoint}.example.com:443", "https://{endpoint}.example.com"],
  ])("accepts %s", (text, template) => {
    expect(parsePublicUrl(text)).toBe(template);
  });

  it.each([
    "https://piko.example.com",
    "https://piko.example.com/{endpoint}",
    "https://x-{endpoint}.example.com",
    "{endpoint}.example.com",
    "ftp://{endpoint}.example.com",
    "https://{endpoint}.example.com/path",
    "https://{endpoint}.example.com?q",
    "https://{endpoint}.{endpoint}.com",
    "https://{endpoint}.",
  ])("rejects %s", (text) => {
    expect(() => parsePublicUrl(text)).toThrow(RangeError);
  });
});

describe("publicUrlOf", () => {
  it("has the endpoint in the host, if that is possible", () => {
    const template = "https://{endpoint}.piko.example.com";
    expect(publicUrlOf(template, "my-endpoint")).toBe("https://my-endpoint.piko.example.com");
    expect(publicUrlOf(template, "My.Endpoint")).toBeUndefined();
  });
});
