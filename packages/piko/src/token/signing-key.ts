// The key that a token is signed with: a secret, or a private key as PEM. It determines the algorithm.

import { createPrivateKey, type KeyObject } from "node:crypto";
import type { SigningAlgorithm } from "../config/token.js";
import { TokenToolError } from "./token-tool-error.js";

const HMAC: readonly SigningAlgorithm[] = ["HS256", "HS384", "HS512"];
const RSA: readonly SigningAlgorithm[] = ["RS256", "RS384", "RS512"];
/** By OpenSSL's name for the curve (RFC 7518 section 3.4). */
const ECDSA: ReadonlyMap<string, SigningAlgorithm> = new Map([
  ["prime256v1", "ES256"],
  ["secp384r1", "ES384"],
  ["secp521r1", "ES512"],
]);
const MIN_RSA_BITS = 2_048;
/** RFC 7518 section 3.2 requires as many bytes as the hash has; this is the number for HS256. */
export const MIN_SECRET_BYTES = 32;

export interface SigningKey {
  readonly material: KeyObject | Uint8Array;
  /** Its usual algorithm, followed by others that it can be used for. */
  readonly algorithms: readonly SigningAlgorithm[];
}

/**
 * Parses the contents of a file or variable.
 *
 * @throws TokenToolError that says what is wrong without quoting the contents.
 */
export function parseSigningKey(contents: Buffer): SigningKey {
  const text = contents.toString("latin1");
  if (/^\s*-----BEGIN /.test(text)) return parsePem(text);
  // As on servers, one line feed at the end belongs to the file and not to the secret.
  const secret = contents.at(-1) === 0x0a ? contents.subarray(0, -1) : contents;
  if (secret.length === 0) throw new TokenToolError("key: is empty");
  return { material: secret, algorithms: HMAC };
}

function parsePem(text: string): SigningKey {
  if (/-----BEGIN (?:[A-Z]+ )?PUBLIC KEY-----|-----BEGIN CERTIFICATE-----/.test(text)) {
    throw new TokenToolError("key: is a public key; tokens are signed with the private one");
  }
  if (/ENCRYPTED/.test(text)) throw new TokenToolError("key: is encrypted; decrypt it first (openssl pkey)");
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch {
    throw new TokenToolError("key: not a private key in PEM format");
  }
  const { asymmetricKeyType, asymmetricKeyDetails: { modulusLength = 0, namedCurve = "" } = {} } = key;
  if (asymmetricKeyType === "rsa") {
    if (modulusLength < MIN_RSA_BITS) {
      throw new TokenToolError(`key: has ${modulusLength} bits; servers accept ${MIN_RSA_BITS} or more`);
    }
    return { material: key, algorithms: RSA };
  }
  const algorithm = asymmetricKeyType === "ec" ? ECDSA.get(namedCurve) : undefined;
  if (algorithm === undefined) {
    throw new TokenToolError("key: must be an RSA key, or one on curve P-256, P-384 or P-521");
  }
  return { material: key, algorithms: [algorithm] };
}
