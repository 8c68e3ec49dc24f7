import { expect, it } from "vitest";
import { expandEnv, verbatim } from "./expand-env.js";

const env = { X: "xv", E: "", A_1: "a1", "1": "one" };

it.each([
  // What the Go program prints for the same text, except for `$$`, which gives nothing there.
  ["A$X-B${X}-C${X:def}-D${U:def}-F$$-H${E:edef}-I$X:def", "Axv-Bxv-Cxv-Ddef-F$-Hedef-Ixv:def"],
  ["$A_1.b", "a1.b"],
  ["${U:http://h:1/}", "http://h:1/"],
  ["${U:}", ""],
  ["${E:}", ""],
  ["$", "$"],
  ["a $ b", "a $ b"],
  ["$.", "$."],
  ["$1x", "onex"],
  ["$$X", "$X"],
  ["$$$X", "$xv"],
  ["$${X}", "${X}"],
  ["# comment $X", "# comment xv"],
])("expands %s", (source, text) => {
  expect(expandEnv(source, env)).toMatchObject({ text, problems: [] });
});

it("doesn't expand inserted values", () => {
  expect(expandEnv("$A", { A: "$B", B: "b" }).text).toBe("$B");
});

// References that Go expands to nothing.
it.each([
  ["a${U}b", "environment variable U isn't set (${U:} allows that)"],
  ["a$U", "environment variable U isn't set (${U:} allows that)"],
  ["a${E}", "environment variable E is empty (${E:} allows that)"],
  ["a$?b", "environment variable ? isn't set (${?:} allows that)"],
  ["a${}b", '"${}" has no name'],
  ["a${-b", '"${" has no "}"'],
])("reports the reference without a value in %s", (source, message) => {
  expect(expandEnv(source, env).problems).toEqual([{ offset: 1, sourceOffset: 1, message }]);
});

it("reports where an empty default was inserted", () => {
  expect(expandEnv("$X-${U:}-${U:d}-${E:}", env)).toMatchObject({ text: "xv--d-", empties: [3, 6] });
});

it("finds the origin of each character", () => {
  const { text, sourceOffset } = expandEnv("a $X b${U}c $$ d ${U:}e", env);
  expect(text).toBe("a xv bc $ d e");
  const origins = Array.from(text, (letter, offset) => [letter, sourceOffset(offset)]);
  expect(origins.filter(([letter]) => letter !== " ")).toEqual([
    ["a", 0],
    ["x", 2],
    ["v", 2],
    ["b", 5],
    ["c", 10],
    ["$", 12],
    ["d", 15],
    ["e", 22],
  ]);
  expect(sourceOffset(text.length)).toBe(23);
  expect(verbatim("abc").sourceOffset(2)).toBe(2);
});
