import { expect, it } from "vitest";
import { expandEnv } from "./expand-env.js";

const env = { X: "xv", E: "", A_1: "a1", "1": "one" };

it.each([
  // What the Go program prints for the same text, but for `$$`, which is nothing there.
  [
    "A$X-B${X}-C${X:def}-D${U:def}-E${U}-F$$-G$U-H${E:edef}-I$X:def-J$-K${-L",
    "Axv-Bxv-Cxv-Ddef-E-F$-G-Hedef-Ixv:def-JK-L",
  ],
  ["$A_1.b", "a1.b"],
  ["${U:http://h:1/}", "http://h:1/"],
  ["${U:}", ""],
  ["${}x", "x"],
  ["$", "$"],
  ["a $ b", "a $ b"],
  ["$.", "$."],
  ["$1x", "onex"],
  ["$?$!$@$#$*$-", ""],
  ["$$X", "$X"],
  ["$$$X", "$xv"],
  ["$${X}", "${X}"],
  ["# comment $X", "# comment xv"],
])("expands %s", (text, expanded) => {
  expect(expandEnv(text, env)).toBe(expanded);
});

it("does not expand what it has put in", () => {
  expect(expandEnv("$A", { A: "$B", B: "b" })).toBe("$B");
});
