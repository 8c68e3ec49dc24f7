// Ids of traces and spans.

import { expect, it } from "vitest";
import { Tracer } from "./tracer.js";

/** Makes ids of these numbers, 32 bits each. */
function tracerOf(numbers: readonly number[]): Tracer {
  const left = numbers.map((number) => number / 2 ** 32);
  return new Tracer({
    sample: 1,
    trustsClients: false,
    sink: { add: () => {} },
    random: () => 0,
    idRandom: () => left.shift() ?? Number.NaN,
    wallNow: () => 0,
  });
}

it("writes an id in hexadecimal, with leading zeros, and nothing around it", () => {
  const bytes = Buffer.alloc(20, "-");
  tracerOf([0x0123_4567, 0xffff_ffff]).makeId(bytes, 2, 18);
  expect(bytes.toString()).toBe("--01234567ffffffff--");
  tracerOf([0, 1]).makeId(bytes, 2, 18);
  expect(bytes.toString()).toBe("--0000000000000001--");
});

it("takes a number per eight digits", () => {
  const bytes = Buffer.alloc(32);
  tracerOf([0xa, 0xb, 0xc, 0xd]).makeId(bytes, 0, 32);
  expect(bytes.toString()).toBe("0000000a0000000b0000000c0000000d");
});
