// The Huffman code of HPACK: the strings of RFC 7541 appendix C, padding, and EOS.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodedCapacity, decodeHuffman } from "./huffman.js";

function decode(hex: string): string | undefined {
  const bytes = Buffer.from(hex.replaceAll(" ", ""), "hex");
  const out = Buffer.alloc(decodedCapacity(bytes.length));
  const end = decodeHuffman(bytes, 0, bytes.length, out, 0);
  return end < 0 ? undefined : out.toString("latin1", 0, end);
}

describe("decodeHuffman", () => {
  it.each([
    ["f1e3 c2e5 f23a 6ba0 ab90 f4ff", "www.example.com"],
    ["a8eb 1064 9cbf", "no-cache"],
    ["25a8 49e9 5ba9 7d7f", "custom-key"],
    ["25a8 49e9 5bb8 e8b4 bf", "custom-value"],
    ["6402", "302"],
    ["aec3 771a 4b", "private"],
    ["d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff", "Mon, 21 Oct 2013 20:13:21 GMT"],
    ["9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3", "https://www.example.com"],
    ["9bd9 ab", "gzip"],
    [
      "94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
      "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ],
    ["", ""],
  ])("decodes %s", (hex, text) => {
    expect(decode(hex)).toBe(text);
  });

  it.each([
    ["padding of zeros", "f1e3c2e5f23a6ba0ab90f400"],
    ["padding of a whole octet", "a8eb10649cbfff"],
    ["padding of two octets", "ffff"],
    ["EOS", "ffffffff"],
    ["EOS within a string", "a8eb10649cffffffff"],
  ])("refuses %s", (_name, hex) => {
    expect(decode(hex)).toBeUndefined();
  });

  it("accepts arbitrary bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const out = Buffer.alloc(decodedCapacity(bytes.length));
        expect(decodeHuffman(bytes, 0, bytes.length, out, 0)).toBeLessThanOrEqual(out.length);
      }),
    );
  });
});
