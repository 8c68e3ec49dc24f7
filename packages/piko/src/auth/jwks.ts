// Parses a JSON Web Key Set (RFC 7517 section 5). Keeps the keys that can verify a token's signature, each for the algorithms
// that fit its kind, its `alg` and its `use`. Others are left out: a key set may hold keys for other purposes.

import { createPublicKey } from "node:crypto";
import { nextTurn } from "../net/next-turn.js";
import { KeySet, publicKey, type VerifyingKey } from "./keys.js";

/** Maximum size of a key set. */
export const MAX_JWKS_BYTES = 1_048_576;
const MAX_JWKS_KEYS = 1_000;
const MIN_RSA_BITS = 2_048;
/** Keys that are imported per turn: one on P-521 takes 3 ms, so a set of a thousand would block everything else for 3 seconds. */
export const KEYS_PER_TURN = 4;

/** Parses a key set, a few keys per turn. Rejects with an Error if it isn't one, has too many keys, or none that can be used. */
export async function parseJwks(bytes: Buffer): Promise<KeySet> {
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString("utf8"));
  } catch {
    throw new Error("key set is not JSON");
  }
  const entries = membersOf(json)?.get("keys");
  if (!Array.isArray(entries)) throw new Error("key set has no `keys`");
  if (entries.length > MAX_JWKS_KEYS) {
    throw new Error(`key set has too many keys: ${entries.length}, at most ${MAX_JWKS_KEYS} are read`);
  }
  const keys: VerifyingKey[] = [];
  for (const [index, entry] of entries.entries()) {
    if (index > 0 && index % KEYS_PER_TURN === 0) await nextTurn();
    const key = readKey(entry);
    if (key !== undefined) keys.push(key);
  }
  if (keys.length === 0) throw new Error("key set has no key that verifies RS or ES signatures");
  return new KeySet(keys, true);
}

function readKey(entry: unknown): VerifyingKey | undefined {
  const members = membersOf(entry);
  if (members === undefined) return undefined;
  const [kty, kid, use, alg, operations] = ["kty", "kid", "use", "alg", "key_ops"].map((name) =>
    members.get(name),
  );
  if (kty !== "RSA" && kty !== "EC") return undefined;
  if (use !== undefined && use !== "sig") return undefined;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify")))
    return undefined;
  if (kid !== undefined && typeof kid !== "string") return undefined;
  if (alg !== undefined && typeof alg !== "string") return undefined;
  const jwk = Object.fromEntries(["kty", "n", "e", "crv", "x", "y"].map((name) => [name, members.get(name)]));
  try {
    const key = createPublicKey({ key: jwk, format: "jwk" });
    if (kty === "RSA" && (key.asymmetricKeyDetails?.modulusLength ?? 0) < MIN_RSA_BITS) return undefined;
    return publicKey(key, kid, alg);
  } catch {
    return undefined;
  }
}

function membersOf(value: unknown): Map<string, unknown> | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return new Map<string, unknown>(Object.entries(value));
}
