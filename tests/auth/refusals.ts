// Every way in which a credential is rejected, with the error that the client gets, for servers that have the keys of
// `Issuer`.

import { createHmac } from "node:crypto";
import {
  base64url,
  ecPair,
  edPair,
  inSeconds,
  jwkOf,
  type KeyPair,
  rsaPair,
  token,
  unsigned,
} from "../harness/tokens.js";
import type { Refused } from "./refusal-scene.js";

/** Makes tokens for the servers of a test. */
export class Issuer {
  readonly secret = "an hmac secret of some length, 32 bytes at least";
  readonly rsa: KeyPair = rsaPair();
  readonly ec: KeyPair = ecPair();
  readonly audience = "piko-test";
  readonly issuer = "https://issuer.test";

  /** Claims that are valid for half an hour. */
  claims(more: Record<string, unknown> = {}): Record<string, unknown> {
    return { exp: inSeconds(1_800), aud: this.audience, iss: this.issuer, ...more };
  }

  /** A valid token, except for what `more` changes. */
  hmac(more: Record<string, unknown> = {}, header: Record<string, unknown> = {}): string {
    return token("HS256", this.secret, this.claims(more), header);
  }

  /** Settings of a port that accepts these tokens. */
  flags(port: string): Record<string, string> {
    return {
      [`${port}.auth.hmac-secret-key`]: this.secret,
      [`${port}.auth.rsa-public-key`]: this.rsa.pem,
      [`${port}.auth.ecdsa-public-key`]: this.ec.pem,
      [`${port}.auth.audience`]: this.audience,
      [`${port}.auth.issuer`]: this.issuer,
    };
  }
}

const bearer = (value: string): readonly string[] => [`Authorization: Bearer ${value}`];

/** The cases. `revoked` holds an id and a subject from the server's file of revoked tokens. */
export function refusals(issuer: Issuer, revoked: { id: string; subject: string }): readonly Refused[] {
  const cases: Refused[] = [];
  const add = (error: string, name: string, fields: readonly string[]): void =>
    void cases.push({ name, fields, error });
  const invalid = (name: string, value: string): void => add("invalid token", name, bearer(value));
  const good = issuer.hmac();

  // The credential.
  add("missing authorization", "no field", []);
  add("missing authorization", "an empty field", ["Authorization:"]);
  add("invalid authorization", "no space", [`Authorization: ${good}`]);
  add("invalid authorization", "a scheme alone", ["Authorization: Bearer "]);
  add("unsupported auth type", "another scheme", ["Authorization: Basic dXNlcjpwYXNz"]);
  add("unsupported auth type", "the scheme in lower case", [`Authorization: bearer ${good}`]);
  add("unsupported auth type", "the scheme in upper case", [`Authorization: BEARER ${good}`]);
  invalid("two spaces", ` ${good}`);
  invalid("something after the token", `${good} x`);
  add("invalid token", "the first of two is bad", [...bearer("bad"), ...bearer(good)]);
  add("invalid token", "x-piko-authorization before Authorization", [
    "x-piko-authorization: Bearer bad",
    ...bearer(good),
  ]);
  add("unsupported auth type", "the wrong scheme in x-piko-authorization", [
    "x-piko-authorization: Basic x",
    ...bearer(good),
  ]);
  add("unknown tenant", "a tenant that isn't known", [...bearer(good), "x-piko-tenant-id: nobody"]);
  add("missing authorization", "a tenant and no token", ["x-piko-tenant-id: nobody"]);

  // The form.
  for (const text of [
    "x",
    "..",
    "a.b",
    `${good}.x`,
    `${good}=`,
    good.replaceAll(".", ","),
    `x${good}`,
    "é.é.é",
  ]) {
    invalid(`not a token: ${text.slice(0, 12)}...${text.slice(-4)} (${text.length})`, text);
  }
  const [header = "", payload = "", signed = ""] = good.split(".");
  invalid("no signature", `${header}.${payload}.`);
  invalid("a cut signature", `${header}.${payload}.${signed.slice(0, -2)}`);
  invalid("another payload", `${header}.${base64url(issuer.claims({ sub: "root" }))}.${signed}`);
  invalid("another header", `${base64url({ alg: "HS256" })}.${payload}.${signed}`);
  invalid(
    "a header that isn't an object",
    token("HS256", issuer.secret, issuer.claims()).replace(/^[^.]+/, base64url("[1]")),
  );
  invalid("longer than 8 KiB", issuer.hmac({ padding: "x".repeat(8_192) }));

  // Times.
  add("expired token", "expired", bearer(issuer.hmac({ exp: inSeconds(-1) })));
  add("expired token", "expired in 1970", bearer(issuer.hmac({ exp: 0 })));
  add(
    "expired token",
    "expired, for another audience",
    bearer(issuer.hmac({ exp: inSeconds(-60), aud: "other" })),
  );
  add(
    "expired token",
    "expired and not yet valid",
    bearer(issuer.hmac({ exp: inSeconds(-60), nbf: inSeconds(3_600) })),
  );
  invalid("expired, of another key", token("HS256", "other", issuer.claims({ exp: inSeconds(-60) })));
  invalid("not yet valid", issuer.hmac({ nbf: inSeconds(3_600) }));

  // Keys and algorithms.
  invalid("another secret", token("HS256", "another secret", issuer.claims()));
  invalid("an empty secret", token("HS256", "", issuer.claims()));
  invalid("another RSA key", token("RS256", rsaPair().privateKey, issuer.claims()));
  invalid("another EC key", token("ES256", ecPair().privateKey, issuer.claims()));
  for (const none of ["none", "None", "NONE", "nOnE", "", " none"]) {
    invalid(`alg ${JSON.stringify(none)} without a signature`, unsigned({ alg: none }, issuer.claims()));
    invalid(`alg ${JSON.stringify(none)} with one`, unsigned({ alg: none }, issuer.claims(), "c2ln"));
  }
  invalid("no alg", unsigned({ typ: "JWT" }, issuer.claims(), "c2ln"));
  invalid("an alg that is a number", unsigned({ alg: 256 }, issuer.claims(), "c2ln"));
  invalid("an alg that is a list", unsigned({ alg: ["HS256"] }, issuer.claims(), "c2ln"));
  for (const alg of ["hs256", "HS1", "HS257", "toString", "__proto__", "dir", "A128KW"]) {
    const input = `${base64url({ alg })}.${base64url(issuer.claims())}`;
    const mac = createHmac("sha256", issuer.secret).update(input).digest("base64url");
    invalid(`alg ${alg}`, `${input}.${mac}`);
  }
  for (const [kind, { pem, publicKey }] of [
    ["RSA", issuer.rsa],
    ["EC", issuer.ec],
  ] as const) {
    for (const [form, secret] of [
      ["PEM", pem],
      ["PEM without its last line feed", pem.trimEnd()],
      ["DER", publicKey.export({ format: "der", type: "spki" })],
    ] as const) {
      for (const alg of ["HS256", "HS512"]) {
        invalid(`${alg} with the ${kind} key's ${form} as its secret`, token(alg, secret, issuer.claims()));
      }
    }
  }
  for (const alg of ["PS256", "PS384", "PS512"])
    invalid(alg, token(alg, issuer.rsa.privateKey, issuer.claims()));
  invalid("EdDSA", token("EdDSA", edPair().privateKey, issuer.claims()));
  invalid("ES384 of the key on P-256", token("ES384", issuer.ec.privateKey, issuer.claims()));
  invalid("ES512 of another curve", token("ES512", ecPair("P-521").privateKey, issuer.claims()));
  invalid("RS256 that says ES256", token("RS256", issuer.rsa.privateKey, issuer.claims(), { alg: "ES256" }));
  invalid("ES256 that says RS256", token("ES256", issuer.ec.privateKey, issuer.claims(), { alg: "RS256" }));
  const stranger = rsaPair();
  for (const [name, extra] of [
    ["jwk", { jwk: jwkOf(stranger) }],
    ["jku", { jku: "http://127.0.0.1:9/keys", kid: "k" }],
    ["x5u", { x5u: "http://127.0.0.1:9/cert" }],
    ["x5c", { x5c: [stranger.publicKey.export({ format: "der", type: "spki" }).toString("base64")] }],
  ] as const) {
    invalid(
      `a key that the token supplies in ${name}`,
      token("RS256", stranger.privateKey, issuer.claims(), extra),
    );
  }
  for (const crit of [["exp"], ["b64"], [], "exp", ["x"]]) {
    invalid(`crit ${JSON.stringify(crit)}`, issuer.hmac({}, { crit, b64: true, x: 1 }));
  }
  invalid("a payload that isn't base64url (b64: false)", issuer.hmac({}, { crit: ["b64"], b64: false }));

  // Claims.
  invalid("another audience", issuer.hmac({ aud: "other" }));
  invalid("other audiences", issuer.hmac({ aud: ["other", "piko-tes"] }));
  invalid("no audience", issuer.hmac({ aud: undefined }));
  invalid("another issuer", issuer.hmac({ iss: "https://issuer.test/" }));
  invalid("no issuer", issuer.hmac({ iss: undefined }));
  for (const [name, claim] of [
    ["exp as text", { exp: `${inSeconds(60)}` }],
    ["exp as null", { exp: null }],
    ["exp as a list", { exp: [inSeconds(60)] }],
    ["nbf as text", { nbf: "1" }],
    ["iat as text", { iat: "1" }],
    ["aud as a number", { aud: 1 }],
    ["aud with a number", { aud: [issuer.audience, 1] }],
    ["iss as a list", { iss: [issuer.issuer] }],
    ["sub as a number", { sub: 1 }],
    ["jti as an object", { jti: {} }],
    ["piko as text", { piko: "web" }],
    ["piko as a list", { piko: ["web"] }],
    ["endpoints as text", { piko: { endpoints: "web" } }],
    ["endpoints with a number", { piko: { endpoints: ["web", 1] } }],
    ["endpoints as an object", { piko: { endpoints: { 0: "web" } } }],
    ["EXP, which Go reads as exp", { EXP: inSeconds(-60) }],
    ["Piko, which Go reads as piko", { Piko: { endpoints: ["other"] } }],
    ["Endpoints, which Go reads as endpoints", { piko: { Endpoints: ["other"] } }],
  ] as const) {
    invalid(name, issuer.hmac(claim));
  }
  for (const text of ["null", "[]", '"x"', "1", "{", "", `{"exp":1e999}`]) {
    invalid(`the payload ${JSON.stringify(text)}`, token("HS256", issuer.secret, text));
  }
  invalid("a revoked token", issuer.hmac({ jti: revoked.id }));
  invalid("a token of a revoked subject", issuer.hmac({ sub: revoked.subject }));
  return cases;
}

/** Valid tokens, but not for the endpoint `web`. */
export function wrongEndpoints(issuer: Issuer): readonly Refused[] {
  const lists = [["other"], ["WEB"], ["we"], ["webs", "web-*"], [""], ["*x"], ["w*x*b"], ["?eb"], ["web "]];
  return lists.map((endpoints) => ({
    name: `endpoints ${JSON.stringify(endpoints)}`,
    fields: bearer(issuer.hmac({ piko: { endpoints } })),
    error: "endpoint not permitted",
  }));
}

/**
 * Tokens for servers whose key set has these keys under the names `rsa` and `ec`, the RSA key again as `encrypts` (by its
 * `use`) and `pss` (by its `alg`), and eight more EC keys.
 */
export function refusalsByKeyId(
  { ec, rsa }: { readonly rsa: KeyPair; readonly ec: KeyPair },
  more: readonly KeyPair[],
): readonly Refused[] {
  const claims = { exp: inSeconds(1_800) };
  const of = (algorithm: string, pair: KeyPair, header: Record<string, unknown>): readonly string[] =>
    bearer(token(algorithm, pair.privateKey, claims, header));
  const stranger = rsaPair();
  const all: readonly (readonly [name: string, fields: readonly string[]])[] = [
    ["a key that isn't known", of("RS256", rsa, { kid: "unknown" })],
    ["a name in another case", of("RS256", rsa, { kid: "RSA" })],
    ["an empty name", of("RS256", rsa, { kid: "" })],
    ["a name that is a number", of("ES256", more[0] ?? ec, { kid: 0 })],
    ["a name that is null", of("RS256", rsa, { kid: null })],
    ["the name __proto__", of("RS256", rsa, { kid: "__proto__" })],
    ["a name of 4,000 characters", of("RS256", rsa, { kid: "x".repeat(4_000) })],
    ["the name of another key of its kind", of("ES256", ec, { kid: "3" })],
    ["the name of a key of another kind", of("RS256", rsa, { kid: "ec" })],
    ["a stranger's key under a known name", of("RS256", stranger, { kid: "rsa" })],
    ["a stranger's key without a name", of("RS256", stranger, {})],
    ["no name, and more keys than are tried", of("ES256", ec, {})],
    ["a key for encryption", of("RS256", rsa, { kid: "encrypts" })],
    ["a key of another algorithm", of("RS256", rsa, { kid: "pss" })],
    ["an unsupported algorithm, with the key for it", of("PS256", rsa, { kid: "pss" })],
    ["the public key as a secret", bearer(token("HS256", rsa.pem, claims, { kid: "rsa" }))],
    ["a key that the token supplies", of("RS256", stranger, { kid: "rsa", jwk: jwkOf(stranger) })],
    ["no signature", bearer(unsigned({ alg: "none", kid: "rsa" }, claims))],
  ];
  return all.map(([name, fields]) => ({ name, fields, error: "invalid token" }));
}
