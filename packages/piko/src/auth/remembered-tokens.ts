// The most recently used verified tokens, by digest; no token itself is stored.

import { createHash } from "node:crypto";
import type { Identity } from "./identity.js";

/** Maximum tokens per port. With their claims, they take some 20 MB. */
export const MAX_REMEMBERED = 10_000;

export class RememberedTokens {
  /** Least recently used first. */
  readonly #tokens = new Map<string, Identity>();
  readonly #max: number;

  constructor(max: number = MAX_REMEMBERED) {
    this.#max = max;
  }

  get size(): number {
    return this.#tokens.size;
  }

  /** The key under which a tenant's token is remembered, which reveals nothing about it. */
  static digest(tenantId: string, token: string): string {
    return createHash("sha256").update(`${tenantId}\n${token}`).digest("base64");
  }

  /** The identity of a token, if it is remembered and still valid. */
  find(digest: string, nowMs: number): Identity | undefined {
    const identity = this.#tokens.get(digest);
    if (identity === undefined) return undefined;
    this.#tokens.delete(digest);
    if (!identity.isFresh(nowMs)) return undefined;
    this.#tokens.set(digest, identity);
    return identity;
  }

  add(digest: string, identity: Identity): void {
    this.#tokens.delete(digest);
    if (this.#tokens.size >= this.#max) {
      const [oldest] = this.#tokens.keys();
      if (oldest !== undefined) this.#tokens.delete(oldest);
    }
    this.#tokens.set(digest, identity);
  }

  clear(): void {
    this.#tokens.clear();
  }
}
