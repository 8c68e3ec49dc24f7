// Signatures by vectors of RFC 7515, and by keys of all kinds; which keys are tried, and which are looked for.

import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { SignJWT } from "jose";
import { describe, expect, it } from "vitest";
import { EndpointPatterns } from "./endpoint-patterns.js";
import { Identity } from "./identity.js";
import { KEYS_PER_TURN, parseJwks } from "./jwks.js";
import { hmacKey, KeySet, publicKey, type VerifyingKey } from "./keys.js";
import { NONE_REVOKED, type Revoked } from "./revoked-file.js";
import { Verifier } from "./verifier.js";

const NOW_MS = 1_300_000_000_000;

function verifier(keys: KeySet | undefined, more: { lacks?: string; revoked?: Revoked } = {}): Verifier {
  const source = {
    keys,
    ageMs: undefined,
    fetching: undefined,
    lacks: (keyId: string): boolean => keyId === more.lacks,
    lookFor: (): void => {},
    forget: (): void => {},
    close: (): void => {},
  };
  return new Verifier({
    section: "proxy.auth",
    tenantId: "",
    audience: "",
    issuer: "",
    leewayMs: 0,
    outlivesToken: false,
    source,
    revoked: more.revoked ?? NONE_REVOKED,
    endpoints: new EndpointPatterns([]),
    wallNow: () => NOW_MS,
  });
}

async function reason(of: Verifier, token: string): Promise<string> {
  const result = await of.verify(token);
  return result instanceof Identity ? "let in" : result.reason;
}

describe("vectors of RFC 7515", () => {
  const payload =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
  const secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
  const a1 = `eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.${payload}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk`;
  const a3 = `eyJhbGciOiJFUzI1NiJ9.${payload}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q`;
  const ec = {
    kty: "EC",
    crv: "P-256",
    x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
  };

  it("A.1: HMAC SHA-256", async () => {
    const keys = new KeySet([await hmacKey(Buffer.from(secret, "base64url"))], false);
    const identity = await verifier(keys).verify(a1);
    expect(identity).toMatchObject({ claims: { issuer: "joe", expiresMs: 1_300_819_380_000 } });
    expect(await reason(verifier(keys), a3)).toBe("algorithm");
  });

  it("A.3: ECDSA P-256 SHA-256", async () => {
    const key = publicKey(createPublicKey({ key: ec, format: "jwk" })) as VerifyingKey;
    expect(await reason(verifier(new KeySet([key], false)), a3)).toBe("let in");
    expect(await reason(verifier(new KeySet([key], false)), a1)).toBe("algorithm");
    expect(await reason(verifier(new KeySet([key], false)), `${a3.slice(0, -2)}AA`)).toBe("signature");
  });

  it("A.5: none is never accepted", async () => {
    const keys = new KeySet([await hmacKey(Buffer.from(secret, "base64url"))], false);
    expect(await reason(verifier(keys), `eyJhbGciOiJub25lIn0.${payload}.`)).toBe("token_form");
    expect(await reason(verifier(keys), `eyJhbGciOiJub25lIn0.${payload}.AA`)).toBe("algorithm");
  });
});

const rsa = generateKeyPairSync("rsa", { modulusLength: 2_048 });
const other = generateKeyPairSync("rsa", { modulusLength: 2_048 });
const weak = generateKeyPairSync("rsa", { modulusLength: 1_024 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const ed = generateKeyPairSync("ed25519");
type Pair = { publicKey: import("node:crypto").KeyObject; privateKey: import("node:crypto").KeyObject };
const jwk = ({ publicKey: key }: Pair, more: object): object => ({
  ...key.export({ format: "jwk" }),
  ...more,
});
const jwks = (...keys: unknown[]): Promise<KeySet> => parseJwks(Buffer.from(JSON.stringify({ keys })));
const sign = (pair: Pair, header: { alg: string; kid?: string }): Promise<string> =>
  new SignJWT({}).setProtectedHeader(header).sign(pair.privateKey);

describe("a key set", () => {
  it("has keys for the algorithms that fit their kind, alg and use", async () => {
    const all = await jwks(
      jwk(rsa, { kid: "r" }),
      jwk(ec, { kid: "e", alg: "ES256", use: "sig" }),
      jwk(ed, { kid: "d" }),
    );
    expect(await reason(verifier(all), await sign(rsa, { alg: "RS256", kid: "r" }))).toBe("let in");
    expect(await reason(verifier(all), await sign(rsa, { alg: "RS512", kid: "r" }))).toBe("let in");
    expect(await reason(verifier(all), await sign(ec, { alg: "ES256", kid: "e" }))).toBe("let in");
    expect(await reason(verifier(all), await sign(rsa, { alg: "PS256", kid: "r" }))).toBe("algorithm");
    expect(await reason(verifier(all), await sign(ed, { alg: "EdDSA", kid: "d" }))).toBe("algorithm");
    const one = await jwks(jwk(rsa, { kid: "r", alg: "RS256" }));
    expect(await reason(verifier(one), await sign(rsa, { alg: "RS512", kid: "r" }))).toBe("algorithm");
  });

  it.each([
    ["a key for another use than signatures", jwk(rsa, { use: "enc" })],
    ["a key whose operations don't include verify", jwk(rsa, { key_ops: ["encrypt"] })],
    ["a key with an algorithm of another kind", jwk(rsa, { alg: "ES256" })],
    ["an unsupported algorithm", jwk(rsa, { alg: "PS256" })],
    ["a symmetric key", { kty: "oct", k: "c2VjcmV0", kid: "o" }],
    ["an Ed25519 key", jwk(ed, {})],
    ["a short RSA key", jwk(weak, {})],
    ["a key without its numbers", { kty: "RSA", kid: "x" }],
    ["a key id that isn't a string", jwk(rsa, { kid: 1 })],
  ])("leaves out %s", async (_name, key) => {
    await expect(jwks(key)).rejects.toThrow("no key that verifies");
    expect((await jwks(key, jwk(ec, {}))).keys).toHaveLength(1);
  });

  it.each(["", "x", "null", "[]", "{}", '{"keys":{}}', '{"keys":[]}', '{"keys":[null,1,"x"]}'])(
    "is rejected: %j",
    async (text) => {
      await expect(parseJwks(Buffer.from(text))).rejects.toThrow("key set");
    },
  );

  it("has at most 1,000 keys, which are read a few per turn", async () => {
    const key = jwk(ec, { kid: "e" });
    let turns = 0;
    let reading = true;
    const count = (): void => {
      turns++;
      if (reading) setImmediate(count);
    };
    setImmediate(count);
    const { keys } = await jwks(...Array.from({ length: 1_000 }, () => key));
    reading = false;
    expect(keys).toHaveLength(1_000);
    expect(turns).toBeGreaterThanOrEqual(1_000 / KEYS_PER_TURN - 1);
    await expect(jwks(...Array.from({ length: 1_001 }, () => key))).rejects.toThrow("1001, at most 1000");
  });

  it("tries all keys with the same id", async () => {
    const twice = await jwks(jwk(other, { kid: "k" }), jwk(rsa, { kid: "k" }));
    expect(await reason(verifier(twice), await sign(rsa, { alg: "RS256", kid: "k" }))).toBe("let in");
  });

  it("tries a token without a key id against eight keys, and rejects it if there are more", async () => {
    const seven = Array.from({ length: 7 }, (_, n) => jwk(other, { kid: `${n}` }));
    const token = await sign(rsa, { alg: "RS256" });
    expect(await reason(verifier(await jwks(...seven, jwk(rsa, {}))), token)).toBe("let in");
    expect(await reason(verifier(await jwks(...seven, jwk(other, {}), jwk(rsa, {}))), token)).toBe(
      "too_many_keys",
    );
    // Keys of another kind don't count.
    expect(await reason(verifier(await jwks(...seven, jwk(ec, {}), jwk(rsa, {}))), token)).toBe("let in");
  });

  it("may have the key that a token names, unless no key can verify its algorithm, or the source lacks it", async () => {
    const of = verifier(await jwks(jwk(rsa, { kid: "r" })), { lacks: "gone" });
    const sought = (algorithm: string, keyId?: string): string | undefined =>
      of.unknownKey({ algorithm, keyId });
    expect([sought("RS256", "new"), sought("ES512", "new"), sought("ES512", "")]).toEqual(["new", "new", ""]);
    for (const [algorithm, keyId] of [
      ["PS256", "new"],
      ["HS256", "new"],
      ["RS256", "r"],
      ["RS256", "gone"],
      ["RS256", undefined],
    ] as const)
      expect(sought(algorithm, keyId)).toBeUndefined();
    expect(await reason(of, await sign(rsa, { alg: "RS256", kid: "new" }))).toBe("unknown_key");
  });

  it("that was never available makes every verification fail with a 503", async () => {
    const of = verifier(undefined);
    expect(of.ready).toBe(false);
    expect(await of.verify(await sign(rsa, { alg: "RS256", kid: "r" }))).toMatchObject({ status: 503 });
  });
});

it("an accepted token is trusted as long as its key exists and it isn't revoked", async () => {
  let revoked = "";
  const list = {
    has: (id: string, subject: string) => id === revoked || subject === revoked,
    close: () => {},
  };
  const of = verifier(await jwks(jwk(rsa, { kid: "r" })), { revoked: list });
  const token = await new SignJWT({ jti: "t", sub: "s" })
    .setProtectedHeader({ alg: "RS256" })
    .sign(rsa.privateKey);
  const identity = (await of.verify(token)) as Identity;
  expect(of.stillTrusts(identity, "e")).toBe(true);
  expect(verifier(await jwks(jwk(rsa, { kid: "renamed" }))).stillTrusts(identity, "e")).toBe(true);
  expect(verifier(await jwks(jwk(other, { kid: "r" }))).stillTrusts(identity, "e")).toBe(false);
  for (const id of ["t", "s"]) {
    revoked = id;
    expect(of.stillTrusts(identity, "e")).toBe(false);
    expect(await reason(of, token)).toBe("revoked");
  }
});
