import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { frameHeaderBytes, isValidCloseCode, writeFrameHeader } from "./frame.js";

/** The header in the layout of section 5.2, written without regard for speed. */
function oracle(opcode: number, length: number, key: number | undefined): string {
  const mask = key === undefined ? 0 : 0x80;
  const view = new DataView(new ArrayBuffer(14));
  view.setUint8(0, 0x80 + opcode);
  let end = 2;
  if (length <= 125) {
    view.setUint8(1, mask + length);
  } else if (length <= 0xffff) {
    view.setUint8(1, mask + 126);
    view.setUint16(2, length);
    end = 4;
  } else {
    view.setUint8(1, mask + 127);
    view.setBigUint64(2, BigInt(length));
    end = 10;
  }
  if (key !== undefined) {
    view.setInt32(end, key);
    end += 4;
  }
  return Buffer.from(view.buffer, 0, end).toString("hex");
}

describe("writeFrameHeader", () => {
  it("agrees with a DataView for all lengths, masked or not", () => {
    const length = fc.oneof(
      fc.nat(200),
      fc.nat(70_000),
      fc.maxSafeNat(),
      fc.constantFrom(125, 126, 65_535, 65_536, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER),
    );
    const key = fc.option(fc.integer(), { nil: undefined });
    fc.assert(
      fc.property(fc.nat(15), length, key, fc.nat(9), (opcode, payload, mask, offset) => {
        const buffer = Buffer.alloc(24, 0xaa);
        const end = writeFrameHeader(buffer, offset, opcode, payload, mask);
        expect(end - offset).toBe(frameHeaderBytes(payload, mask !== undefined));
        expect(buffer.toString("hex", offset, end)).toBe(oracle(opcode, payload, mask));
        expect(buffer.subarray(end).every((byte) => byte === 0xaa)).toBe(true);
      }),
    );
  });

  it.each([
    [12, "820c"],
    [123, "827b"],
    [32_768, "827e8000"],
    [65_536, "827f0000000000010000"],
  ])("writes %i bytes as a Go server does", (length, hex) => {
    const buffer = Buffer.alloc(10);
    expect(buffer.toString("hex", 0, writeFrameHeader(buffer, 0, 2, length, undefined))).toBe(hex);
  });
});

describe("isValidCloseCode", () => {
  it.each([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999])(
    "accepts %i",
    (code) => {
      expect(isValidCloseCode(code)).toBe(true);
    },
  );

  it.each([0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])("rejects %i", (code) => {
    expect(isValidCloseCode(code)).toBe(false);
  });
});
