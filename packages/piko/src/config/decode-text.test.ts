import { expect, it } from "vitest";
import { TextError, decodeText } from "./decode-text.js";

const TEXT = "a: é€😀\nb: 2\n";
const MARK = "\ufeff";

function big(text: string): Buffer {
  return Buffer.from(text, "utf16le").swap16();
}

it.each([
  ["UTF-8", Buffer.from(TEXT)],
  ["UTF-8 with a mark", Buffer.from(MARK + TEXT)],
  ["UTF-16 LE with a mark", Buffer.from(MARK + TEXT, "utf16le")],
  ["UTF-16 BE with a mark", big(MARK + TEXT)],
  ["UTF-16 LE", Buffer.from(TEXT, "utf16le")],
  ["UTF-16 BE", big(TEXT)],
])("reads %s", (_, bytes) => {
  expect(decodeText(bytes)).toBe(TEXT);
});

it.each([[""], ["a"], ["\ufffd"], ["é"]])("reads %j", (text) => {
  expect(decodeText(Buffer.from(text))).toBe(text);
});

const UTF32 = "the file is UTF-32, which isn't supported: save it as UTF-8";

it.each([
  [
    "Latin-1",
    Buffer.from("a: b\nc: caf\u00e9\n", "latin1"),
    "byte 0xE9 isn't UTF-8: save the file as UTF-8",
    2,
    7,
  ],
  [
    "a byte that can't start a character",
    Buffer.from("a: \xff", "latin1"),
    "byte 0xFF isn't UTF-8: save the file as UTF-8",
    1,
    4,
  ],
  [
    "an overlong encoding of a slash",
    Buffer.from("\xc0\xaf", "latin1"),
    "byte 0xC0 isn't UTF-8: save the file as UTF-8",
    1,
    1,
  ],
  [
    "a surrogate in UTF-8",
    Buffer.from("a\xed\xa0\x80", "latin1"),
    "byte 0xED isn't UTF-8: save the file as UTF-8",
    1,
    2,
  ],
  [
    "a truncated character",
    Buffer.from("é: €").subarray(0, -1),
    "the file ends in the middle of a UTF-8 character",
    1,
    4,
  ],
  [
    "half a unit of UTF-16",
    Buffer.from(`${MARK}a\nb`, "utf16le").subarray(0, -1),
    "the file ends in the middle of a UTF-16 character",
    2,
    1,
  ],
  [
    "a lone surrogate",
    Buffer.from(`${MARK}a\ud800b`, "utf16le"),
    "byte 0x00 isn't UTF-16: save the file as UTF-8",
    1,
    2,
  ],
  ["UTF-32 LE with a mark", Buffer.from("\xff\xfe\0\0a\0\0\0", "latin1"), UTF32, 1, 1],
  ["UTF-32 BE with a mark", Buffer.from("\0\0\xfe\xff\0\0\0a", "latin1"), UTF32, 1, 1],
  ["UTF-32 LE", Buffer.from("a\0\0\0", "latin1"), UTF32, 1, 1],
  ["UTF-32 BE", Buffer.from("\0\0\0a", "latin1"), UTF32, 1, 1],
])("rejects %s with the position", (_, bytes, message, line, column) => {
  let error: unknown;
  try {
    decodeText(bytes);
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(TextError);
  expect(error).toMatchObject({ message, line, column });
});
