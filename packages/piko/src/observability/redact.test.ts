import { expect, it } from "vitest";
import { errorText, redactFields, redactText } from "./redact.js";

it.each([
  "authorization",
  "Authorization",
  "proxy-authorization",
  "x-piko-authorization",
  "xPikoAuthorization",
  "cookie",
  "set-cookie",
  "token",
  "accessToken",
  "hmac_secret_key",
  "hmacSecretKey",
  "client-secret",
  "password",
  "api_key",
  "private-key",
])("hides the value of %s, at any depth", (name) => {
  expect(redactFields({ [name]: "hunter2" })).toEqual({ [name]: "[redacted]" });
  const deep = redactFields({ a: { b: [{ [name]: ["hunter2"] }] } });
  expect(JSON.stringify(deep)).not.toContain("hunter2");
});

it("shows an empty secret as empty", () => {
  expect(redactFields({ token: "", cookie: undefined })).toEqual({ token: "", cookie: undefined });
});

it("leaves other values unchanged", () => {
  const fields = { addr: "127.0.0.1:80", n: 1, on: true, none: null, list: [1, "a"], when: new Date(0) };
  expect(redactFields(fields)).toEqual(fields);
  expect(redactFields({ big: 10n, map: new Map([["a", 1]]) })).toEqual({ big: "10", map: [["a", 1]] });
});

it("hides credentials within texts and errors", () => {
  expect(redactText("sent Authorization: Bearer abc.def-g to")).toBe(
    "sent Authorization: Bearer [redacted] to",
  );
  expect(redactText("dial http://me:hunter2@proxy:3128: refused")).toBe(
    "dial http://[redacted]@proxy:3128: refused",
  );
  expect(redactFields({ error: new Error("Basic aHVudGVyMg==") })).toEqual({ error: "Basic [redacted]" });
});

it("shows an error with its cause, once", () => {
  const cause = new Error("connection refused");
  expect(errorText(new Error("dial", { cause }))).toBe("dial: connection refused");
  expect(errorText(new Error("dial: connection refused", { cause }))).toBe("dial: connection refused");
});

it("survives cycles", () => {
  const loop: Record<string, unknown> = {};
  loop["self"] = loop;
  expect(JSON.stringify(redactFields(loop))).toContain("[...]");
});
