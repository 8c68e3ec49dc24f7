import { expect, it } from "vitest";
import { isTooLong, parseEndpointId } from "./endpoint-id.js";

it.each([
  ["x".repeat(255), false],
  ["x".repeat(256), true],
  ["é".repeat(127), false],
  ["é".repeat(128), true],
  ["名".repeat(85), false],
  ["名".repeat(86), true],
  ["😀".repeat(64), true],
])("decides whether %s is too long: %s", (id, tooLong) => {
  expect(isTooLong(id)).toBe(tooLong);
});

it.each(["web", "a.b", "%20", "größe", "名前", "😀", "__proto__", "x".repeat(255)])("accepts %j", (id) => {
  expect(parseEndpointId(encodeURIComponent(id))).toBe(id);
});

it.each([
  ["no bytes", ""],
  ["too many bytes", "é".repeat(128)],
  ["a slash", "a%2Fb"],
  ["an incomplete escape", "a%2"],
  ["bytes that aren't UTF-8", "%ff"],
  ["a control character", "a%00"],
  ["a control character of the second set", "%C2%9Bm"],
  ["a zero-width space", "web%E2%80%8B"],
  ["a line separator", "a%E2%80%A8b"],
  ["a change of the writing direction", "%E2%80%AEbew"],
])("rejects an id with %s", (_, segment) => {
  expect(parseEndpointId(segment)).toBeUndefined();
});
