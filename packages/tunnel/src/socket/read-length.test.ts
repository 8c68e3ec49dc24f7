import { describe, expect, it } from "vitest";
import { mostReadBytes, nextReadBytes, sharedReadBuffer } from "./read-length.js";

const KIB = 1024;
const LONG = mostReadBytes("long");
const SHORT = mostReadBytes("short");

describe("the length of the next turn", () => {
  it.each([
    ["nobody counts", LONG, 0, 256],
    ["one message", LONG, 1, 256],
    ["frames of 64 bytes", LONG, LONG / 64, 256],
    ["frames of 63 bytes", LONG, LONG / 63, 64],
    ["frames of 16 bytes", LONG, LONG / 16, 64],
    ["frames of 12 bytes", LONG, LONG / 12, 16],
    ["pings of 6 bytes", LONG, LONG / 6, 16],
    ["more messages than bytes", LONG, 2 * LONG, 16],
    ["long messages of a short reader", SHORT, 10, 64],
    ["short messages of a short reader", SHORT, SHORT / 6, 16],
  ])("with %s", (_name, most, messages, kibibytes) => {
    expect(nextReadBytes(most, most, messages)).toBe(kibibytes * KIB);
  });

  it("grows again when messages do", () => {
    const short = nextReadBytes(LONG, LONG, LONG / 6);
    expect(nextReadBytes(LONG, short, 3)).toBe(LONG);
  });
});

it.runIf(process.platform !== "win32")("has shared memory of each length", () => {
  for (const kibibytes of [16, 64, 256])
    expect(sharedReadBuffer(kibibytes * KIB)).toHaveLength(kibibytes * KIB);
});
