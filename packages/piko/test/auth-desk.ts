// An authorizer whose verifications are completed by the test, and the identities that it returns.

import { type AuditLog } from "../src/auth/audit-log.js";
import { Authorizer } from "../src/auth/authorizer.js";
import type { Claims } from "../src/auth/claims.js";
import { EndpointPatterns } from "../src/auth/endpoint-patterns.js";
import { Identity } from "../src/auth/identity.js";
import { REFUSED, type Refusal } from "../src/auth/refusal.js";
import type { Waiter } from "../src/auth/verification-queue.js";
import type { Verifier } from "../src/auth/verifier.js";

export class AuthDesk extends Authorizer {
  /** Credentials that it was asked about. */
  readonly asked: string[] = [];
  waiter: Waiter | undefined;
  cancelled = 0;
  /** The identity that is returned at once, without a verification. */
  known: Identity | undefined;
  /** Whether identities that were accepted are still trusted. */
  trusts = true;

  constructor(port = "proxy", audit?: AuditLog) {
    super({ port, maxPending: 10, audit, wallNow: () => 0 });
    this.use({ close() {} } as unknown as Verifier);
  }

  override ask(
    credential: string | undefined,
    tenantId: string,
    waiter: Waiter,
  ): Identity | Refusal | undefined {
    this.asked.push(`${credential ?? "nothing"}${tenantId === "" ? "" : ` of ${tenantId}`}`);
    if (credential === undefined) return REFUSED.missing;
    if (this.known !== undefined) return this.known;
    this.waiter = waiter;
    return undefined;
  }

  override cancel(waiter: Waiter): void {
    if (waiter === this.waiter) this.waiter = undefined;
    this.cancelled++;
  }

  override isCurrent(): boolean {
    return true;
  }

  override stillTrusts(): boolean {
    return this.trusts;
  }

  /** Completes the pending verification: the token permits these endpoints, or is refused. */
  answer(endpoints: readonly string[] | Refusal): void {
    const { waiter } = this;
    this.waiter = undefined;
    waiter?.onVerified("reason" in endpoints ? endpoints : identityFor(endpoints));
  }
}

/** An identity that permits these endpoints until `expiresMs` since 1970. */
export function identityFor(
  endpoints: readonly string[],
  { expiresMs = 10_000_000, outlivesToken = false } = {},
): Identity {
  const claims: Claims = {
    expiresMs,
    notBeforeMs: 0,
    audience: [],
    issuer: "",
    subject: "somebody",
    tokenId: "",
    endpoints,
  };
  return new Identity({
    tenantId: "",
    claims,
    fingerprint: "",
    leewayMs: 0,
    outlivesToken,
    nowMs: 0,
    generation: 0,
    token: new EndpointPatterns(endpoints),
    tenant: undefined,
  });
}
