import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_V2_BYTES, parseProxyHeader } from "./proxy-protocol.js";

const SIGNATURE = "0d0a0d0a000d0a515549540a";
const TCP4 = `${SIGNATURE}2111000cc0000201c6336402d43101bb`;
const TCP6 = `${SIGNATURE}21210024${"20010db8000000000000000000000001"}${"20010db8000000000000000000000002"}d43101bb`;

/** Bytes from text for version 1, from hex for version 2. */
const header = (text: string): Buffer =>
  text.startsWith("0d0a") ? Buffer.from(text, "hex") : Buffer.from(text, "latin1");

const parse = (bytes: Buffer) => parseProxyHeader(bytes, 0, bytes.length);

const VALID: readonly (readonly [string, string, string | undefined])[] = [
  ["TCP over IPv4", "PROXY TCP4 192.0.2.1 198.51.100.2 54321 443\r\n", "192.0.2.1"],
  ["TCP over IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 54321 443\r\n", "2001:db8::1"],
  ["letters in upper case", "PROXY TCP6 2001:DB8::A ::1 0 65535\r\n", "2001:db8::a"],
  ["an IPv4 address in IPv6 form", "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1"],
  ["an IPv4 address in IPv6 form, in hexadecimal", "PROXY TCP6 ::ffff:c000:201 ::1 1 2\r\n", "192.0.2.1"],
  [
    "the longest line",
    `PROXY UNKNOWN ${"f".repeat(39)} ${"f".repeat(39)} 65535 65535\r\n`.padEnd(107),
    undefined,
  ],
  ["an unknown source", "PROXY UNKNOWN\r\n", undefined],
  ["an unknown source, with addresses", "PROXY UNKNOWN ::1 ::1 1 2\r\n", undefined],
  ["TCP over IPv4 in version 2", TCP4, "192.0.2.1"],
  ["TCP over IPv6 in version 2", TCP6, "2001:db8::1"],
  [
    "an IPv4 address in IPv6 form in version 2",
    `${SIGNATURE}21210024${"00000000000000000000ffffc0000201"}${"0".repeat(32)}00010002`,
    "192.0.2.1",
  ],
  ["the sender itself", `${SIGNATURE}20000000`, undefined],
  ["the sender itself, with addresses", `${SIGNATURE}2011000c${"00".repeat(12)}`, undefined],
  ["an unspecified family", `${SIGNATURE}21000000`, undefined],
  ["a Unix socket", `${SIGNATURE}213100d8${"00".repeat(216)}`, undefined],
  ["extensions", `${TCP4.replace("000c", "0014")}0400020102040000`, "192.0.2.1"],
  [
    "the longest header",
    `${SIGNATURE}21110208${TCP4.slice(32)}040${(520 - 15).toString(16).padStart(5, "0").slice(1)}${"00".repeat(505)}`,
    "192.0.2.1",
  ],
];

describe("parseProxyHeader", () => {
  it.each(VALID)("reads %s", (_, text, address) => {
    const bytes = header(text.trimEnd() === text ? text : `${text.trimEnd()}\r\n`);
    const more = Buffer.concat([bytes, Buffer.from("GET / HTTP/1.1\r\n")]);
    expect(parse(bytes)).toEqual({ end: bytes.length, address });
    expect(parse(more)).toEqual({ end: bytes.length, address });
  });

  it.each(VALID)("reports every prefix of %s as incomplete", (_, text) => {
    const bytes = header(text.trimEnd() === text ? text : `${text.trimEnd()}\r\n`);
    for (let end = 0; end < bytes.length; end++) {
      expect(parseProxyHeader(bytes, 0, end)).toBe("incomplete");
    }
  });

  it.each([
    "GET / HTTP/1.1\r\n",
    "POST / HTTP/1.1\r\n",
    "PROPFIND / HTTP/1.1\r\n",
    "PROXYING",
    "proxy TCP4",
    "\r\nGET / HTTP/1.1\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\n",
    "\0",
    " PROXY TCP4",
  ])("reports that %j is something else", (text) => {
    expect(parse(Buffer.from(text, "latin1"))).toBe("absent");
  });

  it.each([
    ["an unknown family", "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n"],
    ["UDP", "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n"],
    ["no family", "PROXY \r\n"],
    ["two spaces", "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n"],
    ["a space at the end", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n"],
    ["a missing port", "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"],
    ["a word too many", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"],
    ["an address of the other family", "PROXY TCP4 ::1 ::1 1 2\r\n"],
    ["an IPv4 address for IPv6", "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"],
    ["an invalid address", "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n"],
    ["an address with leading zeros", "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n"],
    ["an address with a zone", "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"],
    ["an invalid destination", "PROXY TCP4 192.0.2.1 here 1 2\r\n"],
    ["a port too large", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n"],
    ["a port with leading zeros", "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n"],
    ["a signed port", "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n"],
    ["a tab", "PROXY TCP4\t192.0.2.1 192.0.2.2 1 2\r\n"],
    ["a NUL", "PROXY UNKNOWN\0\r\n"],
    ["a bare line feed", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"],
    ["a bare carriage return", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rGET"],
    ["a line without end", `PROXY UNKNOWN ${"x".repeat(93)}`],
    ["a line that is too long", `PROXY UNKNOWN ${"x".repeat(92)}\r\n`],
    ["another version", `${SIGNATURE}11110000`],
    ["another command", `${SIGNATURE}22110000`],
    ["a family that doesn't exist", `${SIGNATURE}21410000`],
    ["datagrams", TCP4.replace("2111", "2112")],
    ["a length too small for its addresses", `${SIGNATURE}2111000bc0000201c6336402d43101`],
    ["a length above the limit", `${SIGNATURE}2111${(MAX_V2_BYTES - 15).toString(16).padStart(4, "0")}`],
    ["a length above the limit, for the sender itself", `${SIGNATURE}2000ffff`],
    ["half of an extension", `${TCP4.replace("000c", "000e")}0400`],
    ["an extension beyond its end", `${TCP4.replace("000c", "0010")}04000201`],
  ])("rejects %s", (_, text) => {
    expect(parse(header(text))).toBe("invalid");
  });

  it("never changes its result with more bytes, and never reads beyond its limits", () => {
    const starts = fc.constantFrom("PROXY ", "PROXY TCP4 ", "PROXY UNKNOWN", "PROXY TCP6 ::1 ");
    const v1 = fc.tuple(starts, fc.string({ maxLength: 150 })).map(([a, b]) => Buffer.from(a + b, "latin1"));
    const v2 = fc
      .tuple(
        fc.constantFrom(SIGNATURE, `${SIGNATURE}2111`, `${SIGNATURE}20`),
        fc.uint8Array({ maxLength: 700 }),
      )
      .map(([a, b]) => Buffer.concat([Buffer.from(a, "hex"), b]));
    fc.assert(
      fc.property(fc.oneof(v1, v2, fc.uint8Array({ maxLength: 40 }).map(Buffer.from)), (bytes) => {
        const whole = parse(bytes);
        for (let end = 0; end < bytes.length; end++) {
          const early = parseProxyHeader(bytes, 0, end);
          if (early !== "incomplete") expect(early).toEqual(whole);
          else expect(end).toBeLessThan(MAX_V2_BYTES);
        }
      }),
    );
  });
});
