// Reads frames from bytes, however these are split.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DATA, frame, HEADERS, PING } from "../../../test/h2-peer.js";
import { FrameReader } from "./frame-reader.js";

/** Records the calls it gets; the bytes of a DATA frame as one call. */
class Notes {
  yields = false;
  readonly calls: string[] = [];
  #data = "";

  onFrame(type: number, flags: number, streamId: number, buffer: Buffer, start: number, end: number): void {
    this.calls.push(`frame ${type} ${flags} ${streamId} ${buffer.toString("latin1", start, end)}`);
  }

  onDataFrame(flags: number, streamId: number, length: number): void {
    this.#data = `data ${flags} ${streamId} ${length} `;
  }

  onData(buffer: Buffer, start: number, end: number): void {
    expect(end).toBeGreaterThan(start);
    this.#data += buffer.toString("latin1", start, end);
  }

  onDataEnd(): void {
    this.calls.push(this.#data);
  }

  onFrameTooLong(type: number, streamId: number): void {
    this.calls.push(`too long ${type} ${streamId}`);
  }

  onBadPadding(): void {
    this.calls.push("bad padding");
  }
}

/** The calls for bytes that arrive in pieces ending at `cuts`. */
function read(bytes: string, cuts: readonly number[] = []): string[] {
  const notes = new Notes();
  const reader = new FrameReader(notes, notes);
  let at = 0;
  for (const cut of [...cuts, bytes.length]) {
    // Each piece is in its own memory, which is overwritten afterwards.
    const piece = Buffer.from(`..${bytes.slice(at, cut)}..`, "latin1");
    expect(reader.read(piece, 2, piece.length - 2)).toBe(piece.length - 2);
    piece.fill(0x58);
    at = cut;
  }
  return notes.calls;
}

const FRAMES =
  frame(PING, 0, 0, "12345678") +
  frame(DATA, 0, 1, "body") +
  frame(DATA, 1, 1, "") +
  frame(DATA, 8, 3, "\x02xy\0\0") +
  frame(DATA, 8, 3, "\x02\0\0") +
  frame(DATA, 8, 3, "\0") +
  frame(99, 255, 0xffff_ffff, "") +
  frame(HEADERS, 4, 5, "block");
const CALLS = [
  "frame 6 0 0 12345678",
  "data 0 1 4 body",
  "data 1 1 0 ",
  "data 8 3 5 xy",
  "data 8 3 3 ",
  "data 8 3 1 ",
  "frame 99 255 2147483647 ",
  "frame 1 4 5 block",
];

describe("FrameReader", () => {
  it("reads frames that arrive in one piece, byte by byte, and split anywhere", () => {
    expect(read(FRAMES)).toEqual(CALLS);
    expect(
      read(
        FRAMES,
        [...FRAMES].map((_, at) => at),
      ),
    ).toEqual(CALLS);
    for (let cut = 1; cut < FRAMES.length; cut++) expect(read(FRAMES, [cut])).toEqual(CALLS);
  });

  it.each([
    ["a frame above 16,384 bytes", frame(HEADERS, 0, 1, "x".repeat(16_385)), "too long 1 1"],
    ["data above 16,384 bytes", frame(DATA, 0, 1, "x".repeat(16_385)), "too long 0 1"],
    ["padding without a length", frame(DATA, 8, 1, ""), "bad padding"],
    ["padding longer than the frame", frame(DATA, 8, 1, "\x04abc"), "bad padding"],
  ])("stops at %s", (_name, bytes, call) => {
    for (const cuts of [[], [3], [9], [10]]) {
      expect(
        read(
          frame(PING, 0, 0, "12345678") + bytes + FRAMES,
          cuts.map((cut) => cut + 17),
        ),
      ).toEqual([CALLS[0], call]);
    }
  });

  it("leaves frames for another turn", () => {
    const notes = new Notes();
    const reader = new FrameReader(notes, notes);
    notes.yields = true;
    const bytes = Buffer.from(FRAMES, "latin1");
    expect(reader.read(bytes, 0, bytes.length)).toBe(0);
    notes.yields = false;
    expect(reader.read(bytes, 0, bytes.length)).toBe(bytes.length);
    expect(notes.calls).toEqual(CALLS);
  });

  it("knows whether a frame other than DATA is incomplete", () => {
    const notes = new Notes();
    const reader = new FrameReader(notes, notes);
    const feed = (text: string): boolean => {
      const bytes = Buffer.from(text, "latin1");
      reader.read(bytes, 0, bytes.length);
      return reader.midFrame;
    };
    expect(feed(FRAMES)).toBe(false);
    expect(feed(FRAMES.slice(0, 4))).toBe(true);
    expect(feed(FRAMES.slice(4, 17))).toBe(false);
    // A DATA frame may take its time.
    expect(feed(frame(DATA, 0, 1, "body").slice(0, 11))).toBe(false);
  });

  it("accepts arbitrary bytes, however they are split", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), fc.nat(200), (bytes, cut) => {
        const text = Buffer.from(bytes).toString("latin1");
        expect(read(text, [Math.min(cut, text.length)])).toEqual(read(text));
      }),
    );
  });
});
