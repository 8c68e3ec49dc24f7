// The examples of W3C Trace Context and of its test suite (w3c/trace-context, test/test.py).

import { expect, it } from "vitest";
import { isTraceState } from "./trace-state.js";

const members = (count: number): string => Array.from({ length: count }, (_, i) => `bar${i}=1`).join(",");

it.each([
  ["foo=1"],
  ["foo=1,bar=2"],
  ["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"],
  ["foo=1 \t , \t bar=2, \t baz=3"],
  ["foo=1\t"],
  ["foo=1,,bar=2"],
  ["foo=1,"],
  [""],
  ["foo= 1"],
  ["foo=a b!\"#$%&'()*+-./:;<>?@[]^_`{|}~"],
  ["fw529a3039@dt=FfffffffAFoAAcqWQAQX7A==".replaceAll("==", "")],
  ["1tenant@vendor=1"],
  [`${"z".repeat(256)}=1`],
  [`${"t".repeat(241)}@${"v".repeat(14)}=1`],
  [`a=${"v".repeat(256)}`],
  ["a-_*/b=1"],
  [members(32)],
])("%j is a tracestate", (value) => {
  expect(isTraceState(value)).toBe(true);
});

it.each([
  ["foo"],
  ["=1"],
  ["foo="],
  ["foo=1=2"],
  ["Foo=1"],
  ["foo =1"],
  ["1foo=1"],
  ["foo@=1,bar=2"],
  ["@foo=1,bar=2"],
  ["foo@@bar=1,bar=2"],
  ["foo@bar@baz=1,bar=2"],
  ["foo=1,foo=2"],
  ["foo=1,bar=2,foo=1"],
  ["foo=\xe9"],
  ["foo=\x01"],
  ["foo=1;bar"].map((value) => `${value},bar`),
  [`${"z".repeat(257)}=1`],
  [`${"t".repeat(242)}@v=1`],
  [`t@${"v".repeat(15)}=1`],
  [`a=${"v".repeat(257)}`],
  [members(33)],
  [`a=${"v".repeat(256)},b=${"v".repeat(256)}`],
  ["a=1,".repeat(1_000)],
])("%j isn't", (value) => {
  expect(isTraceState(value)).toBe(false);
});
