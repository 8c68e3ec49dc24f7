import { expect, it } from "vitest";
import { parseByteSize } from "./byte-size.js";

it.each([
  ["0", 0],
  ["1048576", 1_048_576],
  ["12B", 12],
  ["64KiB", 65_536],
  ["1 MiB", 1_048_576],
  ["2GiB", 2_147_483_648],
])("reads %s", (text, bytes) => {
  expect(parseByteSize(text)).toBe(bytes);
});

it.each(["", "-1", "1.5", "1e3", "64KB", "64kib", "9999999999999999"])("rejects %j", (text) => {
  expect(() => parseByteSize(text)).toThrow(`invalid size ${JSON.stringify(text)}`);
});
