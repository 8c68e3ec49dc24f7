// The keys of one verifier, each for the algorithms that fit its kind. The accepted algorithms follow from the keys alone:
// there is no other list that could fail to exclude one (`none`, or HMAC with a public key as its secret).

import { createHash, type KeyObject, webcrypto } from "node:crypto";

const HMAC_ALGORITHMS = ["HS256", "HS384", "HS512"] as const;
const RSA_ALGORITHMS = ["RS256", "RS384", "RS512"] as const;
/** By OpenSSL's name of the curve (RFC 7518 section 3.4). */
const ECDSA_ALGORITHMS: ReadonlyMap<string, string> = new Map([
  ["prime256v1", "ES256"],
  ["secp384r1", "ES384"],
  ["secp521r1", "ES512"],
]);

/** Algorithms that public keys can verify. */
export const PUBLIC_ALGORITHMS: ReadonlySet<string> = new Set([
  ...RSA_ALGORITHMS,
  ...ECDSA_ALGORITHMS.values(),
]);

/** A key that verifies signatures. */
export interface VerifyingKey {
  /** Id in its key set; undefined if tokens can't name it. */
  readonly keyId: string | undefined;
  /** Identifies the key without revealing it. */
  readonly fingerprint: string;
  /** The key material by algorithm. */
  readonly byAlgorithm: ReadonlyMap<string, webcrypto.CryptoKey | KeyObject>;
}

/** Maximum number of keys that one token without a key id is tried against. */
export const MAX_TRIED_KEYS = 8;

/** The keys of a verifier at a given time. */
export class KeySet {
  readonly keys: readonly VerifyingKey[];
  /** Whether tokens name their key (a JWKS); otherwise there is only one key for each algorithm. */
  readonly named: boolean;
  readonly fingerprints: ReadonlySet<string>;
  readonly #algorithms: ReadonlySet<string>;
  readonly #byId = new Map<string, VerifyingKey[]>();

  constructor(keys: readonly VerifyingKey[], named: boolean) {
    this.keys = keys;
    this.named = named;
    this.fingerprints = new Set(keys.map(({ fingerprint }) => fingerprint));
    this.#algorithms = new Set(keys.flatMap(({ byAlgorithm }) => [...byAlgorithm.keys()]));
    for (const key of keys) {
      if (key.keyId === undefined) continue;
      const same = this.#byId.get(key.keyId);
      if (same === undefined) this.#byId.set(key.keyId, [key]);
      else same.push(key);
    }
  }

  /** Whether any key verifies this algorithm. */
  allows(algorithm: string): boolean {
    return this.#algorithms.has(algorithm);
  }

  /** Whether there is a key with this id, for any algorithm. */
  knows(keyId: string): boolean {
    return this.#byId.has(keyId);
  }

  /** The keys that may have signed a token. */
  find(algorithm: string, keyId: string | undefined): readonly VerifyingKey[] {
    const meant = this.named && keyId !== undefined ? (this.#byId.get(keyId) ?? []) : this.keys;
    return meant.filter(({ byAlgorithm }) => byAlgorithm.has(algorithm));
  }
}

/** Creates the key of HMAC tokens. `secret` must not be empty. */
export async function hmacKey(secret: Buffer): Promise<VerifyingKey> {
  const byAlgorithm = new Map<string, webcrypto.CryptoKey>();
  for (const algorithm of HMAC_ALGORITHMS) {
    const hash = `SHA-${algorithm.slice(2)}`;
    const key = await webcrypto.subtle.importKey("raw", secret, { name: "HMAC", hash }, false, ["verify"]);
    byAlgorithm.set(algorithm, key);
  }
  return { keyId: undefined, fingerprint: digestOf("hmac", secret), byAlgorithm };
}

/** Creates a public key. `only` restricts it to one algorithm, undefined to all that fit its kind; undefined if none is left. */
export function publicKey(key: KeyObject, keyId?: string, only?: string): VerifyingKey | undefined {
  const algorithms = algorithmsOf(key).filter((algorithm) => only === undefined || only === algorithm);
  if (algorithms.length === 0) return undefined;
  const fingerprint = digestOf("public", key.export({ format: "der", type: "spki" }));
  return { keyId, fingerprint, byAlgorithm: new Map(algorithms.map((algorithm) => [algorithm, key])) };
}

function algorithmsOf({ asymmetricKeyDetails, asymmetricKeyType }: KeyObject): readonly string[] {
  if (asymmetricKeyType === "rsa") return RSA_ALGORITHMS;
  const algorithm = ECDSA_ALGORITHMS.get(asymmetricKeyDetails?.namedCurve ?? "");
  return asymmetricKeyType === "ec" && algorithm !== undefined ? [algorithm] : [];
}

function digestOf(kind: string, bytes: Buffer): string {
  return createHash("sha256").update(kind).update(bytes).digest("base64url");
}
