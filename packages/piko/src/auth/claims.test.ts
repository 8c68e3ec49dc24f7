import { describe, expect, it } from "vitest";
import { judgeClaims, readClaims } from "./claims.js";

const read = (claims: unknown): ReturnType<typeof readClaims> =>
  readClaims(Buffer.from(typeof claims === "string" ? claims : JSON.stringify(claims)));
const judge = (claims: unknown, nowMs: number, rules: object = {}): string | undefined => {
  const found = read(claims);
  if (found === undefined) throw new Error("no claims");
  return judgeClaims(found, { audience: "", issuer: "", leewayMs: 0, ...rules }, nowMs)?.reason;
};

describe("claims", () => {
  it("are read, with defaults for those that are absent", () => {
    expect(read({})).toEqual({
      expiresMs: Number.POSITIVE_INFINITY,
      notBeforeMs: Number.NEGATIVE_INFINITY,
      audience: [],
      issuer: "",
      subject: "",
      tokenId: "",
      endpoints: [],
    });
    const all = {
      exp: 2,
      nbf: 1,
      iat: 0,
      aud: "a",
      iss: "i",
      sub: "s",
      jti: "t",
      piko: { endpoints: ["e"] },
    };
    expect(read(all)).toEqual({
      expiresMs: 2_000,
      notBeforeMs: 1_000,
      audience: ["a"],
      issuer: "i",
      subject: "s",
      tokenId: "t",
      endpoints: ["e"],
    });
    expect(read({ piko: null })?.endpoints).toEqual([]);
    expect(read({ piko: { endpoints: null } })?.endpoints).toEqual([]);
    expect(read({ aud: ["a", "b"], other: null })).toMatchObject({ audience: ["a", "b"] });
  });

  it("have whole seconds, as in Go", () => {
    expect(read({ exp: 1.999 })?.expiresMs).toBe(1_000);
    expect(read({ exp: -1.5 })?.expiresMs).toBe(-1_000);
  });

  it.each([
    "null",
    "[]",
    '"x"',
    "{",
    "",
    "\u00ff",
    '{"exp":"1"}',
    '{"exp":null}',
    '{"exp":1e999}',
    '{"nbf":true}',
    '{"iat":{}}',
    '{"aud":null}',
    '{"aud":[1]}',
    '{"iss":1}',
    '{"sub":[]}',
    '{"jti":0}',
    '{"piko":[]}',
    '{"piko":{"endpoints":"e"}}',
    '{"piko":{"endpoints":["e",null]}}',
    '{"EXP":1}',
    '{"Piko":{}}',
    '{"piko":{"Endpoints":["e"]}}',
  ])("that aren't valid: %s", (text) => {
    expect(readClaims(Buffer.from(text, "latin1"))).toBeUndefined();
  });

  it("expire in the second of exp, plus leeway", () => {
    expect(judge({ exp: 10 }, 9_999)).toBeUndefined();
    expect(judge({ exp: 10 }, 10_000)).toBe("expired");
    expect(judge({ exp: 10 }, 10_999, { leewayMs: 1_000 })).toBeUndefined();
    expect(judge({ exp: 10 }, 11_000, { leewayMs: 1_000 })).toBe("expired");
  });

  it("are valid from the second of nbf, minus leeway", () => {
    expect(judge({ nbf: 10 }, 9_999)).toBe("not_yet_valid");
    expect(judge({ nbf: 10 }, 10_000)).toBeUndefined();
    expect(judge({ nbf: 10 }, 9_000, { leewayMs: 1_000 })).toBeUndefined();
  });

  it("are reported as expired, whatever else is wrong with them", () => {
    const rules = { audience: "a", issuer: "i" };
    expect(judge({ exp: 1, nbf: 100, aud: "b" }, 2_000, rules)).toBe("expired");
    expect(judge({ nbf: 100, aud: "b" }, 2_000, rules)).toBe("not_yet_valid");
    expect(judge({ aud: "b" }, 2_000, rules)).toBe("audience");
    expect(judge({ aud: ["b", "a"] }, 2_000, rules)).toBe("issuer");
    expect(judge({ aud: ["b", "a"], iss: "i" }, 2_000, rules)).toBeUndefined();
    expect(judge({}, 2_000, rules)).toBe("audience");
  });
});
