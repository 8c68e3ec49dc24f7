import { expect, test } from "vitest";
import { HTTP_ERRORS } from "./errors.js";

test("every refusal has its own code, a status and a plain message", () => {
  const messages = new Set<string>();
  for (const [name, error] of Object.entries(HTTP_ERRORS)) {
    expect(error.code).toBe(`PIKO_HTTP_${name}`);
    expect([400, 417, 431, 501, 502, 505]).toContain(error.status);
    expect(error.message).toMatch(/^[a-z0-9 ./-]+$/);
    expect(Object.isFrozen(error)).toBe(true);
    messages.add(error.message);
  }
  expect(messages.size).toBe(Object.keys(HTTP_ERRORS).length);
});
