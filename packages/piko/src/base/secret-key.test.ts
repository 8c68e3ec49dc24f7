import { describe, expect, it } from "vitest";
import { parseSecretKey } from "./secret-key.js";

const KEY = Buffer.from("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "hex");

describe("a secret key", () => {
  it("is 32 bytes in base64, with or without padding and line feed", () => {
    const text = KEY.toString("base64");
    for (const form of [text, `${text}\n`, `  ${text}`, text.replace("=", "")])
      expect(parseSecretKey(form).equals(KEY)).toBe(true);
  });

  it.each([
    "",
    "secret",
    Buffer.alloc(31).toString("base64"),
    Buffer.alloc(33).toString("base64"),
    KEY.toString("hex"),
    `${KEY.toString("base64")} ${KEY.toString("base64")}`,
  ])("is rejected without being shown: %j", (text) => {
    expect(() => parseSecretKey(text)).toThrow(/^must be a key: 32 bytes in base64$/);
  });
});
