import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteText } from "./byte-text.js";

const read = (text: ByteText): string => text.bytes.toString("utf8", 0, text.length);

describe("text as bytes", () => {
  it("is everything that was added, in order, whatever its size", () => {
    const piece = fc.oneof(
      fc.string({ unit: "binary-ascii", maxLength: 80 }).map((text) => ["latin1", text] as const),
      fc.string({ unit: "grapheme", maxLength: 80 }).map((text) => ["utf8", text] as const),
      fc.string({ unit: "grapheme", maxLength: 80 }).map((text) => ["bytes", text] as const),
      fc.string({ unit: "grapheme", maxLength: 80 }).map((text) => ["other", text] as const),
    );
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const text = new ByteText(8);
        for (const [kind, added] of pieces) {
          if (kind === "latin1") text.addLatin1(added);
          else if (kind === "utf8") text.addUtf8(added);
          else if (kind === "bytes") text.add(Buffer.from(added));
          else {
            const other = new ByteText(1);
            other.addUtf8(added);
            text.add(other.view);
          }
        }
        expect(read(text)).toBe(pieces.map(([, added]) => added).join(""));
      }),
    );
  });

  it("has integers in decimal, padded with zeros to a width", () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 12 }), (value, width) => {
        const text = new ByteText(0);
        text.addDecimal(value, width);
        expect(read(text)).toBe(String(value).padStart(width, "0"));
      }),
    );
  });

  it("has each number below 1,000 likewise, and thousandths without trailing zeros", () => {
    for (let value = 0; value < 1_000; value++) {
      const text = new ByteText(0);
      for (const width of [1, 2, 3, 4]) text.addDecimal(value, width);
      const written = [1, 2, 3, 4].map((width) => String(value).padStart(width, "0")).join("");
      expect(read(text)).toBe(written);
      text.addThousandths(value);
      expect(Number(`0${read(text).slice(written.length)}`)).toBe(value / 1_000);
      expect(read(text).slice(written.length)).toMatch(value === 0 ? /^$/ : /^\.\d{0,2}[1-9]$/);
    }
  });

  it("has any bytes escaped as in a JSON string", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(10), (bytes, start) => {
        const source = Buffer.concat([Buffer.alloc(start), bytes]);
        const text = new ByteText(0);
        text.addLatin1('"');
        text.addQuotable(source, start, source.length);
        text.addLatin1('"');
        expect(JSON.parse(read(text))).toBe(Buffer.from(bytes).toString("utf8"));
      }),
    );
  });

  it("keeps at most the given amount of memory", () => {
    const text = new ByteText(16);
    text.addUtf8("x".repeat(1_000));
    text.clear(4_096);
    expect([text.length, text.bytes.length > 0]).toEqual([0, true]);
    text.clear(100);
    expect(text.bytes.length).toBe(0);
  });
});
