// The HPACK examples of RFC 7541 appendix C, with their fields and tables; malformed blocks; and what the encoder writes.

import { describe, expect, it } from "vitest";
import { encodeField, encodeInteger, encodeStatus, NO_TABLE } from "./hpack-encoder.js";
import { HpackDecoder } from "./hpack-decoder.js";

type Fields = [string, string][];

const bytesOf = (hex: string): Buffer => Buffer.from(hex.replaceAll(" ", ""), "hex");

function decode(decoder: HpackDecoder, bytes: Buffer): Fields | undefined {
  const fields: Fields = [];
  const whole = decoder.decode(bytes, 0, bytes.length, {
    onField(name, nameStart, nameEnd, value, valueStart, valueEnd) {
      fields.push([
        name.toString("latin1", nameStart, nameEnd),
        value.toString("latin1", valueStart, valueEnd),
      ]);
    },
  });
  return whole ? fields : undefined;
}

/** The entries of the table, newest first, read by decoding an index for each. */
function tableOf(decoder: HpackDecoder): Fields {
  const entries: Fields = [];
  for (let index = 62; index < 127; index++) {
    const field = decode(decoder, Buffer.from([0x80 | index]));
    if (field === undefined) break;
    entries.push(...field);
  }
  return entries;
}

const AUTHORITY: Fields = [[":authority", "www.example.com"]];
const FIRST: Fields = [[":method", "GET"], [":scheme", "http"], [":path", "/"], ...AUTHORITY];
const SECOND: Fields = [...FIRST, ["cache-control", "no-cache"]];
const THIRD: Fields = [
  [":method", "GET"],
  [":scheme", "https"],
  [":path", "/index.html"],
  ...AUTHORITY,
  ["custom-key", "custom-value"],
];
const DATE_21 = "Mon, 21 Oct 2013 20:13:21 GMT";
const DATE_22 = "Mon, 21 Oct 2013 20:13:22 GMT";
const LOCATION: Fields = [["location", "https://www.example.com"]];
const PRIVATE: Fields = [["cache-control", "private"]];
const COOKIE = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const MOVED: Fields = [[":status", "302"], ...PRIVATE, ["date", DATE_21], ...LOCATION];
const TEMPORARY: Fields = [[":status", "307"], ...PRIVATE, ["date", DATE_21], ...LOCATION];
const OK: Fields = [
  [":status", "200"],
  ...PRIVATE,
  ["date", DATE_22],
  ...LOCATION,
  ["content-encoding", "gzip"],
  ["set-cookie", COOKIE],
];

describe("RFC 7541 appendix C", () => {
  it.each([
    ["C.1.1", 5, 10, "0a"],
    ["C.1.2", 5, 1337, "1f9a0a"],
    ["C.1.3", 8, 42, "2a"],
  ])("%s: integers", (_section, bits, value, hex) => {
    const out = Buffer.alloc(8);
    expect(out.subarray(0, encodeInteger(out, 0, bits, 0, value)).toString("hex")).toBe(hex);
  });

  it.each<[string, string, Fields, Fields]>([
    [
      "C.2.1: a literal that is indexed",
      "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
      [["custom-key", "custom-header"]],
      [["custom-key", "custom-header"]],
    ],
    [
      "C.2.2: a literal that isn't indexed",
      "040c 2f73 616d 706c 652f 7061 7468",
      [[":path", "/sample/path"]],
      [],
    ],
    [
      "C.2.3: a literal that must never be indexed",
      "1008 7061 7373 776f 7264 0673 6563 7265 74",
      [["password", "secret"]],
      [],
    ],
    ["C.2.4: an indexed field", "82", [[":method", "GET"]], []],
  ])("%s", (_section, hex, fields, table) => {
    const decoder = new HpackDecoder(4_096);
    expect(decode(decoder, bytesOf(hex))).toEqual(fields);
    expect(tableOf(decoder)).toEqual(table);
  });

  it.each<[string, readonly string[]]>([
    [
      "C.3: requests",
      [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
      ],
    ],
    [
      "C.4: requests with Huffman code",
      [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
      ],
    ],
  ])("%s", (_section, blocks) => {
    const decoder = new HpackDecoder(4_096);
    const [first = "", second = "", third = ""] = blocks;
    expect(decode(decoder, bytesOf(first))).toEqual(FIRST);
    expect(tableOf(decoder)).toEqual(AUTHORITY);
    expect(decode(decoder, bytesOf(second))).toEqual(SECOND);
    expect(tableOf(decoder)).toEqual([["cache-control", "no-cache"], ...AUTHORITY]);
    expect(decode(decoder, bytesOf(third))).toEqual(THIRD);
    expect(tableOf(decoder)).toEqual([
      ["custom-key", "custom-value"],
      ["cache-control", "no-cache"],
      ...AUTHORITY,
    ]);
  });

  it.each<[string, readonly string[]]>([
    [
      "C.5: responses, in a table of 256 bytes",
      [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
      ],
    ],
    [
      "C.6: responses with Huffman code",
      [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
      ],
    ],
  ])("%s", (_section, blocks) => {
    const decoder = new HpackDecoder(4_096);
    const [first = "", second = "", third = ""] = blocks;
    // A size update to 256, which the examples assume.
    expect(decode(decoder, bytesOf(`3fe101${first}`))).toEqual(MOVED);
    expect(tableOf(decoder)).toEqual([...LOCATION, ["date", DATE_21], ...PRIVATE, [":status", "302"]]);
    expect(decode(decoder, bytesOf(second))).toEqual(TEMPORARY);
    expect(tableOf(decoder)).toEqual([[":status", "307"], ...LOCATION, ["date", DATE_21], ...PRIVATE]);
    expect(decode(decoder, bytesOf(third))).toEqual(OK);
    expect(tableOf(decoder)).toEqual([
      ["set-cookie", COOKIE],
      ["content-encoding", "gzip"],
      ["date", DATE_22],
    ]);
  });
});

describe("HpackDecoder", () => {
  it.each([
    ["index 0", "80"],
    ["an index beyond the tables", "be"],
    ["a name's index beyond the tables", "7e0161"],
    ["an integer with continuations of zero and no end", "ff80808080"],
    ["an integer that ends after its first byte", "ff"],
    ["an integer that is too long", "ff808080808001"],
    ["a name without its bytes", "4002"],
    ["a literal without a value", "400161"],
    ["a literal without a name", "40"],
    ["a truncated value", "40016105616263"],
    ["invalid Huffman code", "40016181ff00"],
    ["a table size after a field", "8220"],
    ["a table size above the limit", "3fe21f"],
  ])("refuses %s", (_name, hex) => {
    expect(decode(new HpackDecoder(4_096), bytesOf(hex))).toBeUndefined();
  });

  it("accepts two size updates in a row, and evicts what doesn't fit", () => {
    const decoder = new HpackDecoder(4_096);
    decode(decoder, bytesOf("4001610162 4001630164"));
    expect(tableOf(decoder)).toEqual([
      ["c", "d"],
      ["a", "b"],
    ]);
    expect(decode(decoder, bytesOf("3f03 3fe11f"))).toEqual([]);
    expect(tableOf(decoder)).toEqual([["c", "d"]]);
    expect(decode(decoder, bytesOf("20"))).toEqual([]);
    expect(tableOf(decoder)).toEqual([]);
  });

  it("empties the table if an entry is larger than the table", () => {
    const decoder = new HpackDecoder(4_096);
    // The value's length is 127 + 1 + 31 * 128.
    const long = `4001617f811f${"78".repeat(4_096)}`;
    decode(decoder, bytesOf("4001610162"));
    expect(decode(decoder, bytesOf(long))?.[0]?.[1]).toHaveLength(4_096);
    expect(tableOf(decoder)).toEqual([]);
  });

  it("requires an update to a smaller size once the peer has acknowledged it", () => {
    const decoder = new HpackDecoder(0);
    expect(decode(decoder, bytesOf("4001610162"))).toEqual([["a", "b"]]);
    decoder.settle();
    expect(decode(decoder, bytesOf("82"))).toBeUndefined();
    expect(decode(decoder, bytesOf("2082"))).toEqual([[":method", "GET"]]);
    expect(decode(decoder, bytesOf("82"))).toEqual([[":method", "GET"]]);
    expect(decode(decoder, bytesOf("21"))).toBeUndefined();
  });

  it("keeps a name from its own table while it makes room for the entry", () => {
    const decoder = new HpackDecoder(4_096);
    const name = "n".repeat(40);
    const fields: Fields = [];
    decode(decoder, Buffer.from(`\x40\x28${name}\x01a`, "latin1"));
    for (let i = 0; i < 500; i++) {
      const text = String(i).padStart(100, "v");
      const block = Buffer.concat([Buffer.from([0x7e, 100]), Buffer.from(text)]);
      expect(decode(decoder, block)).toEqual([[name, text]]);
      fields.unshift([name, text]);
    }
    const kept = Math.floor(4_096 / (40 + 100 + 32));
    expect(tableOf(decoder)).toEqual(fields.slice(0, kept));
  });
});

describe("the encoder", () => {
  const encode = (name: string, value: string, secret = false): Buffer => {
    const out = Buffer.alloc(4_096);
    const nameBytes = Buffer.from(name);
    const valueBytes = Buffer.from(value);
    const end = encodeField(out, 0, nameBytes, 0, name.length, valueBytes, 0, value.length, secret);
    return out.subarray(0, end);
  };

  it.each([
    ["Content-Type", "text/html", "0f10 09", false],
    ["content-length", "2", "0f0d 01", false],
    ["Set-Cookie", "a=b", "1f28 03", true],
    ["X-Own", "", "0005", false],
  ])("writes %s", (name, value, start, secret) => {
    const bytes = encode(name, value, secret);
    expect(bytes.toString("hex").startsWith(start.replaceAll(" ", ""))).toBe(true);
    expect(decode(new HpackDecoder(4_096), bytes)).toEqual([[name.toLowerCase(), value]]);
  });

  it("writes long names and values", () => {
    const name = "x".repeat(300);
    const value = "y".repeat(3_000);
    expect(decode(new HpackDecoder(4_096), encode(name, value))).toEqual([[name, value]]);
  });

  it.each([100, 103, 200, 204, 206, 299, 304, 400, 404, 500, 999])("writes status %i", (status) => {
    const out = Buffer.alloc(8);
    const bytes = Buffer.concat([Buffer.from([NO_TABLE]), out.subarray(0, encodeStatus(out, 0, status))]);
    expect(decode(new HpackDecoder(4_096), bytes)).toEqual([[":status", String(status)]]);
  });
});
