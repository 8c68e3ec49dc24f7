import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RememberedBytes } from "./remembered-bytes.js";

describe("remembered bytes", () => {
  it("equal only the same bytes, wherever those are", () => {
    const shift = fc.nat(9);
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 40 });
    const known = new RememberedBytes(64);
    fc.assert(
      fc.property(bytes, shift, shift, fc.nat(39), fc.nat(255), (content, first, second, at, other) => {
        const place = (offset: number): Buffer =>
          Buffer.concat([Buffer.alloc(offset, 1), content, Buffer.alloc(7)]);
        const { length } = content;
        known.set(place(first), first, first + length);
        const again = place(second);
        expect(known.equal(again, second, second + length)).toBe(true);
        expect(known.equal(again, second, second + length + 1)).toBe(false);
        const changed = again[second + (at % length)] !== other;
        again[second + (at % length)] = other;
        expect(known.equal(again, second, second + length)).toBe(!changed);
      }),
    );
  });

  it("equal bytes that differ only in the gap", () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 60 });
    const known = new RememberedBytes(64);
    fc.assert(
      fc.property(bytes, fc.nat(60), fc.nat(60), fc.nat(59), (content, one, other, at) => {
        const { length } = content;
        const [from, to] = [Math.min(one, other, length), Math.min(Math.max(one, other), length)];
        const source = Buffer.concat([Buffer.alloc(3), content]);
        known.set(source, 3, 3 + length);
        const changed = at % length;
        source[3 + changed] = (source[3 + changed] as number) ^ 1;
        expect(known.equalAround(source, 3, 3 + length, 3 + from, 3 + to)).toBe(
          changed >= from && changed < to,
        );
      }),
    );
  });

  it("equal nothing at first, nor after too many bytes", () => {
    const known = new RememberedBytes(8);
    const source = Buffer.alloc(20);
    expect(known.equal(source, 0, 8)).toBe(false);
    known.set(source, 0, 8);
    expect(known.equal(source, 0, 8)).toBe(true);
    known.set(source, 0, 9);
    expect(known.equal(source, 0, 9)).toBe(false);
    expect(known.equal(source, 0, 8)).toBe(false);
  });
});
