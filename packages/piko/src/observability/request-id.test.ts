import { expect, it } from "vitest";
import { MADE_BYTES, RequestId } from "./request-id.js";

function taken(text: string): string {
  const id = new RequestId();
  const bytes = Buffer.from(`x: ${text}\r\n`, "latin1");
  id.take(bytes, 3, bytes.length - 2);
  return id.toString();
}

it("accepts only what a header and a log line can carry", () => {
  for (const good of ["a", "7c4a8d09-ca37-11ed", "!~+/=", "x".repeat(64)]) expect(taken(good)).toBe(good);
  for (const bad of ["", "a b", 'a"b', "a\\b", "a\u0000b", "\u00e9", "x".repeat(65)])
    expect(taken(bad)).toBe("");
});

it("makes unique ids with a fixed number of digits", () => {
  const id = new RequestId();
  const made = Array.from({ length: 1_000 }, () => {
    id.make();
    return id.toString();
  });
  expect(new Set(made).size).toBe(1_000);
  for (const one of made) expect(one).toMatch(new RegExp(`^[0-9a-f]{${MADE_BYTES}}$`));
});
