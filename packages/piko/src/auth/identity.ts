// What a verified token permits, and for how long.

import type { Claims } from "./claims.js";
import type { EndpointPatterns } from "./endpoint-patterns.js";

/** How long a token counts without being verified again that never expires. */
const WITHOUT_END_MS = 60_000;

export class Identity {
  /** Empty for none. */
  readonly tenantId: string;
  readonly claims: Claims;
  /** Of the key that has signed the token. */
  readonly fingerprint: string;
  /** First and last millisecond (since 1970) that the token is good for, leeway included; the last one is excluded. */
  readonly fromMs: number;
  readonly untilMs: number;
  /** A tunnel that was opened with the token stays open after the token has expired. */
  readonly outlivesToken: boolean;
  /** When it has to be verified again. */
  readonly staleMs: number;
  /** What the port went by when the token was verified: another number asks for another verification. */
  readonly generation: number;
  readonly #token: EndpointPatterns;
  readonly #tenant: EndpointPatterns | undefined;
  /** The last endpoint that was asked for and permitted: mostly, the next request is for the same. */
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

  /** It counts at this time without another look at its token. */
  isFresh(nowMs: number): boolean {
    return nowMs >= this.fromMs && nowMs < this.staleMs;
  }
}
