import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EndpointPatterns } from "../auth/endpoint-patterns.js";
import { hmacKey, KeySet, publicKey, type VerifyingKey } from "../auth/keys.js";
import { Identity } from "../auth/identity.js";
import { NONE_REVOKED } from "../auth/revoked-file.js";
import { Verifier } from "../auth/verifier.js";
import { parsePublicKey } from "../config/auth.js";
import type { SigningAlgorithm, TokenCreateConfig } from "../config/token.js";
import { createKey, runKeyCreate } from "./create-key.js";
import { createToken } from "./create-token.js";
import { inspectToken } from "./inspect-token.js";

const NOW_MS = Date.UTC(2026, 10, 29, 1, 50);
const DEFAULTS: TokenCreateConfig = {
  keyFile: "",
  algorithm: "auto",
  keyId: "",
  endpoint: [],
  audience: "",
  issuer: "",
  subject: "",
  id: "",
  lifetimeMs: 3_600_000,
};

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "piko-token-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function create(
  key: string,
  config: Partial<TokenCreateConfig> = {},
  warned: string[] = [],
): Promise<string> {
  return await createToken({
    config: { ...DEFAULTS, ...config },
    key,
    nowMs: NOW_MS,
    warn: (text) => warned.push(text),
  });
}

async function verify(token: string, key: VerifyingKey): Promise<Identity | string> {
  const keys = new KeySet([key], false);
  const verifier = new Verifier({
    section: "proxy.auth",
    tenantId: "",
    audience: "",
    issuer: "",
    leewayMs: 0,
    outlivesToken: false,
    source: {
      keys,
      ageMs: undefined,
      fetching: undefined,
      lacks: () => true,
      lookFor: () => {},
      forget: () => {},
      close() {},
    },
    revoked: NONE_REVOKED,
    endpoints: new EndpointPatterns([]),
    wallNow: () => NOW_MS,
  });
  const result = await verifier.verify(token);
  return result instanceof Identity ? result : result.reason;
}

describe("a created key", () => {
  it.each<SigningAlgorithm>(["HS256", "HS512", "RS256", "ES256", "ES384", "ES512"])(
    "for %s signs tokens that a server's verifier accepts",
    async (algorithm) => {
      const { publicKey: pem, secret } = createKey(algorithm);
      const token = await create(secret, { algorithm: algorithm.startsWith("ES") ? "auto" : algorithm });
      const key =
        pem === undefined
          ? await hmacKey(Buffer.from(secret.trimEnd()))
          : publicKey(parsePublicKey(pem, algorithm.startsWith("RS") ? "rsa" : "ec"));
      const header = JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()) as object;
      expect(header).toEqual({ alg: algorithm, typ: "JWT" });
      expect(await verify(token, key as VerifyingKey)).toBeInstanceOf(Identity);
    },
  );

  it("is 32 random bytes by default, different each time", () => {
    const { secret } = createKey("HS256");
    expect(Buffer.from(secret, "base64")).toHaveLength(32);
    expect(createKey("HS256").secret).not.toBe(secret);
  });

  it("is written to a file that only its owner can read, and never over an existing one", () => {
    const out = join(folder, "key.pem");
    expect(runKeyCreate({ algorithm: "ES256", out })).toBe("");
    expect(statSync(out).mode & 0o777).toBe(0o600);
    expect(readFileSync(`${out}.pub`, "utf8")).toContain("BEGIN PUBLIC KEY");
    const before = readFileSync(out, "utf8");
    expect(() => runKeyCreate({ algorithm: "ES256", out })).toThrow(`${out} already exists`);
    expect(readFileSync(out, "utf8")).toBe(before);
    writeFileSync(join(folder, "half.pub"), "");
    expect(() => runKeyCreate({ algorithm: "ES256", out: join(folder, "half") })).toThrow(
      "half.pub already exists",
    );
    expect(() => statSync(join(folder, "half"))).toThrow("ENOENT");
  });
});

describe("a created token", () => {
  it("has the given claims", async () => {
    const { secret } = createKey("HS256");
    const token = await create(secret, {
      keyId: "k1",
      endpoint: ["web", "team-a-*"],
      audience: "piko",
      issuer: "ci",
      subject: "deploy",
      id: "7",
    });
    const [header, claims] = token
      .split(".", 2)
      .map((part) => JSON.parse(Buffer.from(part, "base64url").toString()));
    expect(header).toEqual({ alg: "HS256", typ: "JWT", kid: "k1" });
    const iat = NOW_MS / 1_000;
    expect(claims).toEqual({
      iss: "ci",
      sub: "deploy",
      aud: "piko",
      piko: { endpoints: ["web", "team-a-*"] },
      iat,
      exp: iat + 3_600,
      jti: "7",
    });
  });

  it("is signed with a secret from a file, without the line feed at its end", async () => {
    const keyFile = join(folder, "secret");
    writeFileSync(keyFile, "0123456789abcdef0123456789abcdef\n");
    const key = await hmacKey(Buffer.from("0123456789abcdef0123456789abcdef"));
    expect(await verify(await create("", { keyFile }), key)).toBeInstanceOf(Identity);
  });

  it("never expires with a lifetime of 0, and has a unique id", async () => {
    const { secret } = createKey("HS256");
    const key = await hmacKey(Buffer.from(secret.trimEnd()));
    const [one, other] = [await create(secret, { lifetimeMs: 0 }), await create(secret, { lifetimeMs: 0 })];
    const identity = (await verify(one, key)) as Identity;
    expect(identity.claims.expiresMs).toBe(Number.POSITIVE_INFINITY);
    expect(one).not.toBe(other);
  });

  const smallRsa = generateKeyPairSync("rsa", { modulusLength: 1_024 }).privateKey;
  const edward = generateKeyPairSync("ed25519").privateKey;
  const pem = { format: "pem", type: "pkcs8" } as const;
  it.each<[string, string, Partial<TokenCreateConfig>, string]>([
    ["no key", "", {}, "key: missing (set --key-file, or PIKO_TOKEN_KEY in the environment)"],
    ["two keys", "x", { keyFile: "/x" }, "key: both PIKO_TOKEN_KEY and a file are given"],
    ["an empty secret", "\n", {}, "key: is empty"],
    [
      "a public key",
      createKey("ES256").publicKey ?? "",
      {},
      "key: is a public key; tokens are signed with the private one",
    ],
    ["a broken key", "-----BEGIN PRIVATE KEY-----\nAAAA", {}, "key: not a private key in PEM format"],
    ["a small key", smallRsa.export(pem) as string, {}, "key: has 1024 bits; servers accept 2048 or more"],
    [
      "a key of another kind",
      edward.export(pem) as string,
      {},
      "key: must be an RSA key, or one on curve P-256, P-384 or P-521",
    ],
    [
      "an algorithm of another kind",
      createKey("ES384").secret,
      { algorithm: "HS256" },
      "key: can't sign with HS256, only with ES384",
    ],
    ["a file that isn't there", "", { keyFile: "/missing" }, "can't read /missing (ENOENT)"],
    ["more than servers take", "x".repeat(32), { subject: "s".repeat(9_000) }, "servers accept at most 8192"],
  ])("can't be made with %s", async (_, key, config, message) => {
    await expect(create(key, config)).rejects.toThrow(message);
  });

  it("with a short secret causes a warning", async () => {
    const warned: string[] = [];
    await create("short", {}, warned);
    expect(warned.join()).toContain("the secret has 5 bytes");
  });
});

describe("inspecting a token", () => {
  function token(header: unknown, claims: unknown): string {
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    return `${part(header)}.${part(claims)}.c2ln`;
  }

  it("shows the contents, with times relative to now", async () => {
    const { secret } = createKey("HS256");
    const made = await create(secret, { endpoint: ["web", "team-a-*"], subject: "me\u202e", id: "7" });
    expect(
      await inspectToken({ text: `Bearer ${made}\n`, nowMs: NOW_MS + 60_000, judge: undefined }),
    ).toEqual([
      "header:     alg HS256, typ JWT",
      "subject:    me\ufffd",
      "id:         7",
      "issuer:     none",
      "audience:   none",
      "endpoints:  web, team-a-*",
      "issued:     2026-11-29T01:50:00Z (1m0s ago)",
      "valid from: any time",
      "expires:    2026-11-29T02:50:00Z (in 59m0s)",
      "",
      "not verified: set --config.path to a server's configuration to verify it with the server's keys",
    ]);
  });

  it.each([
    [{ exp: NOW_MS / 1_000 - 3 }, "expires:    2026-11-29T01:49:57Z (3s ago)"],
    [{ exp: NOW_MS / 1_000 + 90 * 86_400 }, "expires:    2027-02-27T01:50:00Z (in 90 days)"],
    [{}, "expires:    never"],
    [{ aud: ["a", "b"] }, "audience:   a, b"],
    [{ piko: {} }, "endpoints:  all"],
    [{ scope: "x", exp: 1e300 }, 'other:      {"scope":"x"}'],
    [{ exp: "soon" }, "problem:    its claims aren't an object, or one of them has a wrong type"],
  ])("%j shows %s", async (claims, line) => {
    expect(
      await inspectToken({ text: token({ alg: "HS256" }, claims), nowMs: NOW_MS, judge: undefined }),
    ).toContain(line);
  });

  it.each([
    [{ alg: "HS256", crit: ["b64"] }, "problem:    its header has `crit`, which piko doesn't support"],
    [{}, "problem:    signed with an algorithm that fits none of the port's keys"],
  ])("with header %j shows why every server rejects it", async (header, line) => {
    expect(await inspectToken({ text: token(header, {}), nowMs: NOW_MS, judge: undefined })).toContain(line);
  });

  it.each(["", "\n", "abc", "a.b.c", "W10.W10.W10"])("rejects %j", async (text) => {
    await expect(inspectToken({ text, nowMs: NOW_MS, judge: undefined })).rejects.toThrow(/^token: /);
  });
});
