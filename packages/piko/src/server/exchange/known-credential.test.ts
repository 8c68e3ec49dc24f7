import { describe, expect, it } from "vitest";
import type { Identity } from "../../auth/identity.js";
import { parseRequestHead } from "../../http/h1/parse-request-head.js";
import { RequestHead } from "../../http/head.js";
import { KnownCredential } from "./known-credential.js";

const identity = {} as Identity;

/** A head whose field 0 is the credential, at offset `before` of a larger buffer. */
function head(credential: string, before = 0): RequestHead {
  const text = `GET / HTTP/1.1\r\nAuthorization: ${credential}\r\nHost: e.test\r\n\r\n`;
  const bytes = Buffer.from("x".repeat(before) + text, "latin1");
  const parsed = new RequestHead(10);
  parseRequestHead(parsed, bytes, before, bytes.length);
  return parsed;
}

describe("a connection's last credential", () => {
  it("is recognized at any offset and length", () => {
    for (let length = 1; length < 40; length++) {
      const known = new KnownCredential();
      const text = "abcdefghij".repeat(4).slice(0, length);
      expect(known.find(head(text), 0)).toBeUndefined();
      known.remember(head(text), 0, identity);
      for (const before of [0, 1, 2, 3, 5]) expect(known.find(head(text, before), 0)).toBe(identity);
      for (let at = 0; at < length; at++) {
        const other = `${text.slice(0, at)}X${text.slice(at + 1)}`;
        expect(known.find(head(other, 1), 0)).toBeUndefined();
      }
      expect(known.find(head(`${text}x`), 0)).toBeUndefined();
    }
  });

  it("is replaced by the next one", () => {
    const known = new KnownCredential();
    const other = {} as Identity;
    known.remember(head("one"), 0, identity);
    known.remember(head("two"), 0, other);
    expect([known.find(head("one"), 0), known.find(head("two"), 0)]).toEqual([undefined, other]);
  });

  it("isn't kept if it is long", () => {
    const known = new KnownCredential();
    known.remember(head("one"), 0, identity);
    known.remember(head("x".repeat(2_049)), 0, identity);
    expect([known.find(head("x".repeat(2_049)), 0), known.find(head("one"), 0)]).toEqual([
      undefined,
      undefined,
    ]);
  });
});
