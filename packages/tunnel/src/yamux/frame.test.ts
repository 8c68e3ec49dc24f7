import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HEADER_BYTES, writeHeader } from "./frame.js";

const uint32 = fc.oneof(fc.nat(0xffff_ffff), fc.constantFrom(0, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff));

describe("writeHeader", () => {
  it("agrees with a DataView for every field and offset", () => {
    fc.assert(
      fc.property(
        fc.nat(3),
        fc.nat(0xffff),
        uint32,
        uint32,
        fc.nat(20),
        (type, flags, id, length, offset) => {
          const ours = Buffer.alloc(40, 0xaa);
          const theirs = Buffer.alloc(40, 0xaa);
          const view = new DataView(theirs.buffer, theirs.byteOffset + offset);
          view.setUint8(0, 0);
          view.setUint8(1, type);
          view.setUint16(2, flags);
          view.setUint32(4, id);
          view.setUint32(8, length);
          writeHeader(ours, offset, type, flags, id, length);
          expect(ours.toString("hex")).toBe(theirs.toString("hex"));
        },
      ),
    );
  });

  it("has twelve bytes", () => {
    expect(HEADER_BYTES).toBe(12);
  });
});
