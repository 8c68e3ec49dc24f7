import { describe, expect, it } from "vitest";
import { BLOCK_BYTES, PatternChecker, PatternSource } from "./pattern-bytes.js";
import { SeededRandom } from "./seeded-random.js";

const TOTAL = 3 * BLOCK_BYTES + 17;
const whole = (): Buffer => Buffer.concat([...new PatternSource(TOTAL)]);

describe("the byte pattern", () => {
  it("matches however it is cut", () => {
    const checker = new PatternChecker();
    for (const piece of new SeededRandom(1).split(whole(), 40_000)) checker.update(piece);
    checker.assertComplete(TOTAL);
  });

  it.each([0, 5, BLOCK_BYTES, 2 * BLOCK_BYTES + 100])("finds a changed byte at offset %i", (offset) => {
    const bytes = whole();
    bytes[offset] = (bytes[offset] ?? 0) ^ 1;
    const checker = new PatternChecker();
    checker.update(bytes);
    expect(checker.mismatchAt).toBe(offset);
    expect(() => checker.assertComplete(TOTAL)).toThrow(`from byte ${offset} on`);
  });

  it("finds a missing block", () => {
    const bytes = whole();
    const checker = new PatternChecker();
    checker.update(bytes.subarray(0, BLOCK_BYTES));
    checker.update(bytes.subarray(2 * BLOCK_BYTES));
    expect(checker.mismatchAt).toBe(BLOCK_BYTES + 7);
  });

  it("finds a body that ends early", () => {
    const checker = new PatternChecker();
    checker.update(whole().subarray(0, -1));
    expect(() => checker.assertComplete(TOTAL)).toThrow(`has ${TOTAL - 1} bytes, not ${TOTAL}`);
  });
});
