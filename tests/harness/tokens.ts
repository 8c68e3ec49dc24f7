// Makes valid and invalid tokens with Node's own cryptography, not with the library that verifies them.

import {
  constants,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign as signBytes,
} from "node:crypto";
import { privateKey as registerKey, register } from "./secrets.js";

/** A key pair; `pem` is the public key. */
export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly pem: string;
}

const pair = (privateKey: KeyObject): KeyPair => {
  registerKey(privateKey);
  const publicKey = createPublicKey(privateKey);
  return { privateKey, publicKey, pem: publicKey.export({ format: "pem", type: "spki" }) as string };
};

export const rsaPair = (modulusLength = 2_048): KeyPair =>
  pair(generateKeyPairSync("rsa", { modulusLength }).privateKey);

export const ecPair = (namedCurve = "P-256"): KeyPair =>
  pair(generateKeyPairSync("ec", { namedCurve }).privateKey);

export const edPair = (): KeyPair => pair(generateKeyPairSync("ed25519").privateKey);

/** A JWK of the public key, as in a key set. */
export function jwkOf({ publicKey }: KeyPair, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { ...publicKey.export({ format: "jwk" }), ...more };
}

export const base64url = (value: unknown): string =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** The time in `seconds` seconds, as seconds since 1970. */
export const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1_000) + seconds;

/** A signature with this algorithm; `key` is the secret for HS, otherwise the private key. */
export function signature(algorithm: string, input: string, key: KeyObject | string | Buffer): string {
  const hash = `sha${algorithm.slice(2)}`;
  if (typeof key === "string" || Buffer.isBuffer(key))
    return createHmac(hash, key).update(input).digest("base64url");
  const data = Buffer.from(input);
  if (algorithm.startsWith("ES"))
    return signBytes(hash, data, { key, dsaEncoding: "ieee-p1363" }).toString("base64url");
  if (algorithm.startsWith("PS")) {
    const pss = {
      key,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    };
    return signBytes(hash, data, pss).toString("base64url");
  }
  return signBytes(algorithm === "EdDSA" ? null : hash, data, key).toString("base64url");
}

/**
 * A token, whose signature is registered as a secret. `header` adds to or replaces its header. `claims` may be text that
 * isn't JSON.
 */
export function token(
  algorithm: string,
  key: KeyObject | string | Buffer,
  claims: unknown,
  header: Record<string, unknown> = {},
): string {
  const input = `${base64url({ alg: algorithm, typ: "JWT", ...header })}.${base64url(claims)}`;
  const signed = signature(algorithm, input, key);
  register(signed);
  return `${input}.${signed}`;
}

/** A token with this header, and a signature supplied by the caller. */
export function unsigned(header: unknown, claims: unknown, signed = ""): string {
  return `${base64url(header)}.${base64url(claims)}.${signed}`;
}
