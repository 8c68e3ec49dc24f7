import { describe, expect, it } from "vitest";
import { firstTurnBytes, nextTurnBytes, type ReadLength, readBuffer } from "./turn-length.js";

const KIB = 1024;

describe("the length of the next turn", () => {
  it.each([
    ["uncounted messages", 256, 0, 1024],
    ["one message", 256, 1, 1024],
    ["frames of 256 bytes", 256, 1024, 1024],
    ["frames of 255 bytes", 256, (256 * KIB) / 255, 256],
    ["frames of 64 bytes", 1024, (1024 * KIB) / 64, 256],
    ["frames of 63 bytes", 1024, (1024 * KIB) / 63, 64],
    ["frames of 12 bytes", 1024, (1024 * KIB) / 12, 16],
    ["pings of 6 bytes", 256, (256 * KIB) / 6, 16],
    ["more messages than bytes", 256, 512 * KIB, 16],
    ["bulk data after a flood", 16, 2, 64],
    ["continuing bulk data", 64, 2, 256],
    ["bulk data, and more that TLS has already decrypted", 1024 + 60, 20, 1024],
  ])("with %s", (_name, kibibytes, messages, expected) => {
    expect(nextTurnBytes("long", kibibytes * KIB, messages)).toBe(expected * KIB);
  });

  it("is a quarter of that for sockets with short reads", () => {
    expect(firstTurnBytes("short")).toBe(64 * KIB);
    expect(nextTurnBytes("short", 64 * KIB, 0)).toBe(256 * KIB);
    expect(nextTurnBytes("short", 256 * KIB, 0)).toBe(256 * KIB);
    expect(nextTurnBytes("short", 256 * KIB, 40_000)).toBe(16 * KIB);
  });
});

it.runIf(process.platform !== "win32")("has shared memory for each length", () => {
  const kibibytes = (length: ReadLength): number[] =>
    [16, 64, 256, 1024].map((turn) => (readBuffer(length, turn * KIB)?.length ?? 0) / KIB);
  expect(kibibytes("long")).toEqual([16, 64, 256, 256]);
  expect(kibibytes("short")).toEqual([16, 64, 64, 64]);
});
