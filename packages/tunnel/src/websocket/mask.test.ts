import { describe, expect, it } from "vitest";
import { applyMask, maskWords, randomMaskKey } from "./mask.js";

const KEY = 0x9a3c_f107 | 0;
const KEY_BYTES = [0x9a, 0x3c, 0xf1, 0x07];

type Mask = (buffer: Buffer, start: number, end: number, key: number, phase: number) => void;

function check(mask: Mask, start: number, length: number, phase: number): void {
  const memory = Buffer.allocUnsafeSlow(start + length + 9);
  for (let i = 0; i < memory.length; i++) memory[i] = (i * 31 + 7) & 0xff;
  const expected = Buffer.from(memory);
  for (let i = 0; i < length; i++) {
    expected[start + i] = (expected[start + i] as number) ^ (KEY_BYTES[(phase + i) & 3] as number);
  }
  mask(memory, start, start + length, KEY, phase);
  if (!memory.equals(expected)) throw new Error(`wrong at start ${start}, length ${length}, phase ${phase}`);
}

describe.each([
  ["applyMask", applyMask],
  ["maskWords", maskWords],
] as const)("%s", (_name, mask) => {
  it("agrees with section 5.3 for every alignment, phase and short length", () => {
    for (let start = 0; start < 9; start++) {
      for (let phase = 0; phase < 4; phase++) {
        for (let length = 0; length < 160; length++) check(mask, start, length, phase);
      }
    }
  });

  it("agrees for long runs and odd lengths", () => {
    for (const length of [1023, 4096, 65_535, 65_541]) {
      for (let start = 0; start < 8; start++) check(mask, start, length, (start * 3) & 3);
    }
  });

  it("works inside a buffer that begins anywhere in its memory", () => {
    for (let offset = 0; offset < 8; offset++) {
      const memory = new ArrayBuffer(400);
      check(
        (buffer, start, end, key, phase) => {
          const view = Buffer.from(memory, offset, buffer.length);
          buffer.copy(view);
          mask(view, start, end, key, phase);
          view.copy(buffer);
        },
        3,
        301,
        1,
      );
    }
  });

  it("undoes itself", () => {
    const buffer = Buffer.from("a longer text that is masked and unmasked again".repeat(5));
    const before = Buffer.from(buffer);
    mask(buffer, 5, buffer.length - 2, KEY, 2);
    expect(buffer.equals(before)).toBe(false);
    mask(buffer, 5, buffer.length - 2, KEY, 2);
    expect(buffer.equals(before)).toBe(true);
  });
});

describe("randomMaskKey", () => {
  it("returns 32-bit numbers that don't repeat, across refills of its pool", () => {
    const keys = new Set(Array.from({ length: 5_000 }, () => randomMaskKey()));
    // 5,000 draws from 2^32 collide once in 300 runs; ten collisions never happen.
    expect(keys.size).toBeGreaterThan(4_990);
    for (const key of keys) expect(key | 0).toBe(key);
  });
});
