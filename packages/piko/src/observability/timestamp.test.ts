import { afterEach, expect, it, vi } from "vitest";
import { TimestampFormatter } from "./timestamp.js";

afterEach(() => {
  vi.unstubAllEnvs();
});

const at = Date.UTC(2026, 10, 23, 17, 11, 43);

it.each([
  ["UTC", 7, "2026-11-23T17:11:43.007Z"],
  ["UTC", 120, "2026-11-23T17:11:43.12Z"],
  ["UTC", 900, "2026-11-23T17:11:43.9Z"],
  ["UTC", 0, "2026-11-23T17:11:43Z"],
  ["UTC", 7.9, "2026-11-23T17:11:43.007Z"],
  ["Asia/Kolkata", 7, "2026-11-23T22:41:43.007+05:30"],
  ["America/St_Johns", 7, "2026-11-23T13:41:43.007-03:30"],
])("is local time with its offset in %s", (zone, ms, text) => {
  vi.stubEnv("TZ", zone);
  expect(new TimestampFormatter().format(at + ms)).toBe(text);
});

it("follows the clock within a second and across seconds, backwards too", () => {
  vi.stubEnv("TZ", "UTC");
  const formatter = new TimestampFormatter();
  const seconds = [0, 1, 1, 999, 1_000, 61_000, -5].map((ms) => formatter.format(at + ms).slice(17));
  expect(seconds).toEqual(["43Z", "43.001Z", "43.001Z", "43.999Z", "44Z", "44Z", "42.995Z"]);
});
