import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GOING_AWAY, WrittenFrames } from "./written-frames.js";

const SWITCHING =
  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nupgrade: WebSocket\r\nSec-WebSocket-Accept: x\r\n\r\n";

function followed(...chunks: (Buffer | string)[]): WrittenFrames {
  const frames = new WrittenFrames();
  for (const chunk of chunks) frames.follow(Buffer.from(chunk as string, "latin1"));
  return frames;
}

/** A frame in the layout of RFC 6455 section 5.2. */
function frame(opcode: number, payload: Buffer, masked: boolean): Buffer {
  const { length } = payload;
  const size = length < 126 ? length : length < 65_536 ? 126 : 127;
  const header = Buffer.alloc(2 + (size === 126 ? 2 : size === 127 ? 8 : 0) + (masked ? 4 : 0));
  header[0] = 0x80 | opcode;
  header[1] = size | (masked ? 0x80 : 0);
  if (size === 126) header.writeUInt16BE(length, 2);
  if (size === 127) header.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([header, payload]);
}

describe("WrittenFrames", () => {
  it("recognizes a WebSocket by its 101, and no other response", () => {
    expect(followed(SWITCHING).betweenFrames).toBe(true);
    expect(followed("HTTP/1.1 200 OK\r\nupgrade: websocket\r\n\r\n").betweenFrames).toBe(false);
    expect(followed("HTTP/1.1 101 x\r\nupgrade: echo\r\n\r\n").betweenFrames).toBe(false);
    expect(followed("HTTP/1.1 200 OK\r\n\r\n", SWITCHING).betweenFrames).toBe(false);
    expect(followed(`HTTP/1.1 101 ${"x".repeat(17_000)}`, SWITCHING).betweenFrames).toBe(false);
    expect(followed().betweenFrames).toBe(false);
  });

  it("knows where frames end, however they are written", () => {
    const frames = fc.array(
      fc.record({
        opcode: fc.constantFrom(0, 1, 2, 9, 10),
        bytes: fc.oneof(fc.nat(130), fc.constantFrom(65_535, 65_536, 70_000)),
        masked: fc.boolean(),
      }),
      { minLength: 1, maxLength: 4 },
    );
    const cuts = fc.array(fc.nat(200_000), { maxLength: 8 });
    fc.assert(
      fc.property(frames, cuts, (sent, at) => {
        const made = sent.map(({ opcode, bytes, masked }) =>
          frame(opcode, Buffer.alloc(bytes, 0x88), masked),
        );
        const all = Buffer.concat([Buffer.from(SWITCHING, "latin1"), ...made]);
        const borders = new Set<number>();
        let end = SWITCHING.length;
        for (const each of [Buffer.alloc(0), ...made]) borders.add((end += each.length));
        const follower = new WrittenFrames();
        let from = 0;
        for (const cut of [...at, all.length].toSorted((a, b) => a - b)) {
          const to = Math.min(cut, all.length);
          follower.follow(all.subarray(from, to));
          from = Math.max(from, to);
          expect(follower.betweenFrames).toBe(borders.has(from));
        }
      }),
    );
  });

  it("stops once the server has closed the WebSocket", () => {
    const text = frame(1, Buffer.from("x"), false);
    expect(followed(SWITCHING, text, frame(8, Buffer.alloc(2), false)).betweenFrames).toBe(false);
    expect(followed(SWITCHING, GOING_AWAY, text).betweenFrames).toBe(false);
  });

  it("has a Close frame with status 1001", () => {
    expect(GOING_AWAY.toString("hex")).toBe("880203e9");
  });
});
