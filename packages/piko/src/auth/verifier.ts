// Verifies tokens: signature, times, claims. One for each port and each tenant; `piko token inspect` uses the same.

import { compactVerify } from "jose";
import { judgeClaims, readClaims } from "./claims.js";
import { EndpointPatterns } from "./endpoint-patterns.js";
import { Identity } from "./identity.js";
import type { KeySource } from "./key-source.js";
import { MAX_TRIED_KEYS, PUBLIC_ALGORITHMS, type VerifyingKey } from "./keys.js";
import { REFUSED, type Refusal } from "./refusal.js";
import type { Revoked } from "./revoked-file.js";
import type { KeySeeker } from "./sought-keys.js";
import { readTokenHeader, type TokenHeader } from "./token.js";

export interface VerifierOptions {
  /** Path of its settings, like `proxy.auth`. */
  readonly section: string;
  /** Empty for none. */
  readonly tenantId: string;
  /** Empty if any is accepted. */
  readonly audience: string;
  readonly issuer: string;
  readonly leewayMs: number;
  /** Whether tunnels stay open after their token has expired. */
  readonly outlivesToken: boolean;
  readonly source: KeySource;
  readonly revoked: Revoked;
  /** The tenant's endpoints. */
  readonly endpoints: EndpointPatterns;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

export class Verifier {
  readonly section: string;
  readonly tenantId: string;
  readonly #options: VerifierOptions;
  readonly #source: KeySource;

  constructor(options: VerifierOptions) {
    this.section = options.section;
    this.tenantId = options.tenantId;
    this.#options = options;
    this.#source = options.source;
  }

  /** Whether there are keys, so that valid tokens can be recognized. */
  get ready(): boolean {
    return this.#source.keys !== undefined;
  }

  /** Age of keys that are fetched from somewhere else, in milliseconds. */
  get keysAgeMs(): number | undefined {
    return this.#source.ageMs;
  }

  /** The fetch of its keys that is in progress. */
  get fetching(): Promise<void> | undefined {
    return this.#source.fetching;
  }

  /** The identity of a token according to the current keys, or the reason why it is rejected. Never rejects. */
  async verify(token: string): Promise<Identity | Refusal> {
    const header = readTokenHeader(token);
    return "reason" in header ? header : this.check(token, header, 0);
  }

  /** The id of the key that the token names, if that key is unknown and its source may have it. */
  unknownKey({ algorithm, keyId }: TokenHeader): string | undefined {
    const { keys } = this.#source;
    // If no key of a key set can verify the algorithm, the source isn't asked.
    if (keys?.named !== true || keyId === undefined || !PUBLIC_ALGORITHMS.has(algorithm)) return undefined;
    return keys.knows(keyId) || this.#source.lacks(keyId) ? undefined : keyId;
  }

  /** Makes the source look for a key; see {@link KeySource.lookFor}. */
  lookFor(seeker: KeySeeker): void {
    this.#source.lookFor(seeker);
  }

  forget(seeker: KeySeeker): void {
    this.#source.forget(seeker);
  }

  /** The same as `verify`, for a token whose header was read already. `generation` is stored in the identity. */
  async check(token: string, header: TokenHeader, generation: number): Promise<Identity | Refusal> {
    const found = this.#findKeys(header);
    if ("reason" in found) return found;
    const signed = await findSigner(token, header.algorithm, found);
    if (signed === undefined) return REFUSED.signature;
    const claims = readClaims(signed.payload);
    if (claims === undefined) return REFUSED.claims;
    const { endpoints, leewayMs, outlivesToken, revoked, wallNow } = this.#options;
    const nowMs = wallNow();
    const refusal = judgeClaims(claims, this.#options, nowMs);
    if (refusal !== undefined) return refusal;
    if (revoked.has(claims.tokenId, claims.subject)) return REFUSED.revoked;
    return new Identity({
      tenantId: this.tenantId,
      claims,
      fingerprint: signed.key.fingerprint,
      leewayMs,
      outlivesToken,
      nowMs,
      generation,
      token: new EndpointPatterns(claims.endpoints),
      tenant: endpoints,
    });
  }

  /**
   * Whether a token that was verified before would be accepted again, apart from its times: its key still exists, it isn't
   * revoked, and its endpoint still belongs to the tenant.
   */
  stillTrusts({ claims, fingerprint }: Identity, endpointId: string): boolean {
    const { endpoints, revoked } = this.#options;
    if (this.#source.keys?.fingerprints.has(fingerprint) !== true) return false;
    if (revoked.has(claims.tokenId, claims.subject) || !endpoints.match(endpointId)) return false;
    const { audience, issuer } = this.#options;
    return (
      (audience === "" || claims.audience.includes(audience)) && (issuer === "" || claims.issuer === issuer)
    );
  }

  close(): void {
    this.#source.close();
    this.#options.revoked.close();
  }

  #findKeys({ algorithm, keyId }: TokenHeader): readonly VerifyingKey[] | Refusal {
    const { keys } = this.#source;
    if (keys === undefined) return REFUSED.unready;
    if (!keys.allows(algorithm)) return REFUSED.algorithm;
    const fitting = keys.find(algorithm, keyId);
    if (fitting.length === 0) return REFUSED.key;
    return fitting.length > MAX_TRIED_KEYS ? REFUSED.keys : fitting;
  }
}

/** Finds the key that signed the token; returns it with the verified payload. */
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
      // Signed by another key, or by none.
    }
  }
  return undefined;
}
