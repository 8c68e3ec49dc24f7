import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decode, encode } from "../../tests/yamux-frames.js";
import { YamuxFrameReader } from "./frame-reader.js";

function read(pieces: Buffer[]): string[] {
  const seen: string[] = [];
  let payload = Buffer.alloc(0);
  const reader = new YamuxFrameReader({
    onFrame(version, type, flags, streamId, length) {
      seen.push(`${version} ${type} ${flags} ${streamId} ${length}`);
      return true;
    },
    onPayload(buffer, start, end, last) {
      payload = Buffer.concat([payload, buffer.subarray(start, end)]);
      if (!last) return;
      seen.push(payload.toString("hex"));
      payload = Buffer.alloc(0);
    },
  });
  for (const piece of pieces) {
    // Read buffers are reused: what a reader keeps must be a copy.
    const memory = Buffer.concat([Buffer.alloc(3, 0xee), piece, Buffer.alloc(3, 0xee)]);
    reader.read(memory, 3, memory.length - 3);
    memory.fill(0xdd);
  }
  return seen;
}

const frames = fc
  .array(
    fc.oneof(
      fc
        .tuple(fc.nat(0xffff_ffff), fc.uint8Array({ maxLength: 40 }))
        .map(([id, payload]) => encode("data", "", id, Buffer.from(payload))),
      fc
        .tuple(fc.nat(0xffff_ffff), fc.nat(0xffff_ffff))
        .map(([id, delta]) => encode("window", "A", id, delta)),
      fc.nat(0xffff_ffff).map((id) => encode("ping", "S", 0, id)),
    ),
    { maxLength: 12 },
  )
  .map((list) => Buffer.concat(list));

describe("YamuxFrameReader", () => {
  it("reads the same frames from two pieces, wherever they are split", () => {
    const bytes = Buffer.concat([
      encode("window", "S", 2, 0),
      encode("data", "", 2, Buffer.from("hello")),
      encode("data", "F", 2, Buffer.alloc(0)),
      encode("data", "", 4, Buffer.from("xy")),
      encode("ping", "S", 0, 0xdead_beef),
    ]);
    const whole = read([bytes]);
    expect(whole).toEqual([
      "0 1 1 2 0",
      "0 0 0 2 5",
      "68656c6c6f",
      "0 0 4 2 0",
      "0 0 0 4 2",
      "7879",
      "0 2 1 0 3735928559",
    ]);
    for (let cut = 0; cut <= bytes.length; cut++) {
      expect(read([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual(whole);
    }
    expect(read([...bytes].map((byte) => Buffer.from([byte])))).toEqual(whole);
  });

  it("agrees with a decoder of whole buffers on any frames and any split", () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat(60)), (bytes, lengths) => {
        const pieces: Buffer[] = [];
        let at = 0;
        for (const length of lengths) {
          pieces.push(bytes.subarray(at, at + length));
          at += length;
        }
        pieces.push(bytes.subarray(at));
        const seen = read(pieces).filter((line) => line.includes(" "));
        const numbers = { data: 0, window: 1, ping: 2, goaway: 3 };
        expect(seen).toEqual(
          decode(bytes).map(({ type, flags, id, value }) => {
            const bits = [...flags].reduce((sum, flag) => sum + (1 << "SAFR".indexOf(flag)), 0);
            return `0 ${numbers[type]} ${bits} ${id} ${value}`;
          }),
        );
      }),
    );
  });

  it("reads nothing after a frame that its handler rejects, nor after stop", () => {
    const seen: number[] = [];
    const reader = new YamuxFrameReader({
      onFrame: (_version, type) => {
        seen.push(type);
        return type !== 3;
      },
      onPayload: () => reader.stop(),
    });
    const bytes = Buffer.concat([encode("data", "", 1, Buffer.from("x")), encode("ping", "S", 0, 0)]);
    reader.read(bytes, 0, bytes.length);
    expect(seen).toEqual([0]);

    const other = new YamuxFrameReader({ onFrame: (_v, type) => seen.push(type) < 0, onPayload: () => {} });
    other.read(bytes, 13, bytes.length);
    other.read(bytes, 13, bytes.length);
    expect(seen).toEqual([0, 2]);
  });
});
