import { expect, it } from "vitest";
import { giveBack } from "./read-memory.js";

it("is freed at once, and no longer counts as external memory", () => {
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 1_000; i++) {
    const chunk = Buffer.allocUnsafeSlow(1024 * 1024);
    giveBack(chunk);
    expect(chunk.byteLength).toBe(0);
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * 1024 * 1024);
});

it("is kept if it is small or shared", () => {
  const memory = Buffer.alloc(16 * 1024, 7);
  const part = memory.subarray(0, 8 * 1024);
  giveBack(part);
  const little = Buffer.alloc(100, 7);
  giveBack(little);
  expect(memory.every((byte) => byte === 7)).toBe(true);
  expect(little).toHaveLength(100);
});
