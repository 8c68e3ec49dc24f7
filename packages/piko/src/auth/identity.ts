// What a verified token permits, and for how long.

import type { Claims } from "./claims.js";
import type { EndpointPatterns } from "./endpoint-patterns.js";

/** How long a token that never expires is accepted without being verified again. */
const WITHOUT_END_MS = 60_000;

export class Identity {
  /** Empty if there is no tenant. */
  readonly tenantId: string;
  readonly claims: Claims;
  /** Fingerprint of the key that signed the token. */
  readonly fingerprint: string;
  /** The token is valid from `fromMs` (inclusive) to `untilMs` (exclusive), in milliseconds since 1970, leeway included. */
  readonly fromMs: number;
  readonly untilMs: number;
  /** Whether a tunnel that was opened with the token stays open after the token has expired. */
  readonly outlivesToken: boolean;
  /** When it has to be verified again. */
  readonly staleMs: number;
  /** Generation of the port's keys and settings at the verification; any other requires another verification. */
  readonly generation: number;
  readonly #token: EndpointPatterns;
  readonly #tenant: EndpointPatterns | undefined;
  /** The last permitted endpoint: usually the next request is for the same one. */
  #permitted = "";

  constructor(options: {
    readonly tenantId: string;
    readonly claims: Claims;
    readonly fingerprint: string;
    readonly leewayMs: number;
    readonly outlivesToken: boolean;
    readonly nowMs: number;
    readonly generation: number;
    readonly token: EndpointPatterns;
    readonly tenant: EndpointPatterns | undefined;
  }) {
    this.tenantId = options.tenantId;
    this.claims = options.claims;
    this.fingerprint = options.fingerprint;
    this.fromMs = options.claims.notBeforeMs - options.leewayMs;
    this.untilMs = options.claims.expiresMs + options.leewayMs;
    this.outlivesToken = options.outlivesToken;
    const endless = this.untilMs === Number.POSITIVE_INFINITY;
    this.staleMs = endless ? options.nowMs + WITHOUT_END_MS : this.untilMs;
    this.generation = options.generation;
    this.#token = options.token;
    this.#tenant = options.tenant;
  }

  /** Whether it may call the endpoint, or listen on it. */
  permits(endpointId: string): boolean {
    if (endpointId === this.#permitted && endpointId !== "") return true;
    if (!this.#token.match(endpointId) || this.#tenant?.match(endpointId) === false) return false;
    this.#permitted = endpointId;
    return true;
  }

  /** Whether it is valid at this time without another verification of its token. */
  isFresh(nowMs: number): boolean {
    return nowMs >= this.fromMs && nowMs < this.staleMs;
  }
}
