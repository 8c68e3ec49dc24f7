// Who a verified token speaks for, and what it is good for, for how long.

import type { Claims } from "./claims.js";
import type { EndpointPatterns } from "./endpoint-patterns.js";

export class Identity {
  /** Empty for none. */
  readonly tenantId: string;
  readonly claims: Claims;
  /** Of the key that has signed the token. */
  readonly fingerprint: string;
  /** First and last millisecond (since 1970) that the token is good for, leeway included; the last one is excluded. */
  readonly fromMs: number;
  readonly untilMs: number;
  /** What tokens of this verifier were when this one was verified: another number asks for another verification. */
  readonly generation: number;
  readonly #token: EndpointPatterns;
  readonly #tenant: EndpointPatterns | undefined;

  constructor(options: {
    readonly tenantId: string;
    readonly claims: Claims;
    readonly fingerprint: string;
    readonly leewayMs: number;
    readonly generation: number;
    readonly token: EndpointPatterns;
    readonly tenant: EndpointPatterns | undefined;
  }) {
    this.tenantId = options.tenantId;
    this.claims = options.claims;
    this.fingerprint = options.fingerprint;
    this.fromMs = options.claims.notBeforeMs - options.leewayMs;
    this.untilMs = options.claims.expiresMs + options.leewayMs;
    this.generation = options.generation;
    this.#token = options.token;
    this.#tenant = options.tenant;
  }

  /** Whether it may call the endpoint, or listen on it. */
  permits(endpointId: string): boolean {
    return this.#token.match(endpointId) && this.#tenant?.match(endpointId) !== false;
  }

  /** The time is within the token's. */
  isTimely(nowMs: number): boolean {
    return nowMs >= this.fromMs && nowMs < this.untilMs;
  }
}
