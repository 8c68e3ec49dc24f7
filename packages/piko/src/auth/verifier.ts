// Verifies tokens: signature, times, claims. One for each port and each tenant. `piko token inspect` asks the same one.

import { compactVerify } from "jose";
import { judgeClaims, readClaims } from "./claims.js";
import { EndpointPatterns } from "./endpoint-patterns.js";
import { Identity } from "./identity.js";
import type { KeySet } from "./keys.js";
import { MAX_TRIED_KEYS, PUBLIC_ALGORITHMS, type VerifyingKey } from "./keys.js";
import { REFUSED, type Refusal } from "./refusal.js";
import { readTokenHeader, type TokenHeader } from "./token.js";

/** Where a verifier's keys come from: the configuration, watched files, a JWKS. */
export interface KeySource {
  /** Undefined while none could ever be had. */
  readonly keys: KeySet | undefined;
  /** A token names a key that isn't known: resolves when that is as well known as it will be for a while. */
  refresh(): Promise<void>;
}

/** Tokens that no longer count. */
export interface Revoked {
  /** By the `jti` and `sub` of a token; empty ones are none. */
  has(tokenId: string, subject: string): boolean;
}

export interface VerifierOptions {
  /** Empty for none. */
  readonly tenantId: string;
  readonly audience: string;
  readonly issuer: string;
  readonly leewayMs: number;
  readonly source: KeySource;
  readonly revoked: Revoked;
  /** Patterns of the tenant's endpoints. */
  readonly endpoints: EndpointPatterns | undefined;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

export class Verifier {
  readonly #options: VerifierOptions;
  /** A number for what is verified by: keys, revoked tokens, settings. What was verified under another one no longer counts. */
  generation = 0;

  constructor(options: VerifierOptions) {
    this.#options = options;
  }

  /** Keys are there, so that tokens can be told apart. */
  get ready(): boolean {
    return this.#options.source.keys !== undefined;
  }

  /** Whom the token speaks for, or why it doesn't count. Never rejects. */
  async verify(token: string): Promise<Identity | Refusal> {
    const header = readTokenHeader(token);
    if ("reason" in header) return header;
    const { generation } = this;
    const found = await this.#findKeys(header);
    if ("reason" in found) return found;
    const signed = await findSigner(token, header.algorithm, found);
    if (signed === undefined) return REFUSED.signature;
    const claims = readClaims(signed.payload);
    if (claims === undefined) return REFUSED.claims;
    const { endpoints, leewayMs, revoked, tenantId, wallNow } = this.#options;
    const refusal = judgeClaims(claims, this.#options, wallNow());
    if (refusal !== undefined) return refusal;
    if (revoked.has(claims.tokenId, claims.subject)) return REFUSED.revoked;
    const { fingerprint } = signed.key;
    const own = new EndpointPatterns(claims.endpoints);
    return new Identity({
      tenantId,
      claims,
      fingerprint,
      leewayMs,
      generation,
      token: own,
      tenant: endpoints,
    });
  }

  async #findKeys({ algorithm, keyId }: TokenHeader): Promise<readonly VerifyingKey[] | Refusal> {
    const { source } = this.#options;
    if (source.keys === undefined) return REFUSED.unready;
    // What no key of a key set can ever verify isn't worth a question to its source.
    if (source.keys.named && !PUBLIC_ALGORITHMS.has(algorithm)) return REFUSED.algorithm;
    if (source.keys.named && keyId !== undefined && !source.keys.knows(keyId)) await source.refresh();
    const { keys } = source;
    if (!keys.allows(algorithm)) return REFUSED.algorithm;
    const fitting = keys.find(algorithm, keyId);
    if (fitting.length === 0) return REFUSED.key;
    return fitting.length > MAX_TRIED_KEYS ? REFUSED.keys : fitting;
  }
}

/** The key that has signed the token, and the payload that it vouches for. */
async function findSigner(
  token: string,
  algorithm: string,
  keys: readonly VerifyingKey[],
): Promise<{ key: VerifyingKey; payload: Uint8Array } | undefined> {
  for (const key of keys) {
    const material = key.byAlgorithm.get(algorithm);
    if (material === undefined) continue;
    try {
      const { payload } = await compactVerify(token, material, { algorithms: [algorithm] });
      return { key, payload };
    } catch {
      // Of another key, or of none.
    }
  }
  return undefined;
}
