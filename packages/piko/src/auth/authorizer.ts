// Decides who may use one port: finds the verifier for a credential, remembers accepted tokens, counts rejected ones.

import type { Asked, AuditLog } from "./audit-log.js";
import type { Identity } from "./identity.js";
import { tokenOf } from "./credential.js";
import { REFUSED, type Refusal } from "./refusal.js";
import { MAX_TOKEN_BYTES } from "./token.js";
import { RememberedTokens } from "./remembered-tokens.js";
import { VerificationQueue, type Waiter } from "./verification-queue.js";
import type { Verifier } from "./verifier.js";

export interface AuthorizerOptions {
  /** `proxy`, `upstream` or `admin`. */
  readonly port: string;
  readonly maxPending: number;
  /** Undefined if nothing is audited. */
  readonly audit?: AuditLog | undefined;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

export class Authorizer {
  readonly port: string;
  readonly audit: AuditLog | undefined;
  /** Number of refusals by reason. */
  readonly refused: Map<string, number> = new Map();
  /** Called when identities that were accepted earlier may no longer be valid. */
  onChange: () => void = () => {};
  readonly #wallNow: () => number;
  readonly #remembered = new RememberedTokens();
  readonly #queue: VerificationQueue;
  /** Increases whenever keys, tenants or revoked tokens change. */
  #generation = 0;
  #ready = false;
  /** For requests without a tenant. */
  #verifier: Verifier | undefined = undefined;
  #tenants: ReadonlyMap<string, Verifier> = new Map();

  constructor({ audit, maxPending, port, wallNow }: AuthorizerOptions) {
    this.port = port;
    this.audit = audit;
    this.#wallNow = wallNow;
    this.#queue = new VerificationQueue({
      maxPending,
      verifierOf: (tenantId) => this.#verifierOf(tenantId),
      generation: () => this.#generation,
      onVerified: (digest, identity) => this.#remembered.add(digest, identity),
    });
  }

  /** Whether tokens are required; otherwise everyone is accepted. */
  get enabled(): boolean {
    return this.#verifier !== undefined || this.#tenants.size > 0;
  }

  /** Whether every verifier has had keys, so that valid tokens can be recognized; tenants that are added later don't count. */
  get ready(): boolean {
    this.#ready ||= [...this.verifiers()].every((verifier) => verifier.ready);
    return this.#ready;
  }

  /** Number of requests that wait for an answer. */
  get pending(): number {
    return this.#queue.pending;
  }

  /** Number of verifications begun. */
  get verifications(): number {
    return this.#queue.started;
  }

  get remembered(): number {
    return this.#remembered.size;
  }

  *verifiers(): IterableIterator<Verifier> {
    if (this.#verifier !== undefined) yield this.#verifier;
    yield* this.#tenants.values();
  }

  /** Sets the verifiers; previous ones are closed, unless they are among the new ones. */
  use(verifier: Verifier | undefined, tenants: ReadonlyMap<string, Verifier> = new Map()): void {
    const before = [...this.verifiers()];
    this.#verifier = verifier;
    this.#tenants = tenants;
    const now = new Set(this.verifiers());
    for (const old of before) if (!now.has(old)) old.close();
    this.changed();
  }

  /** Called when keys, tenants or revoked tokens have changed: tokens that were verified have to be verified again. */
  changed(): void {
    this.#generation++;
    this.#remembered.clear();
    this.onChange();
  }

  /** Whether an identity that was accepted earlier would still be accepted with the current keys, tenants and revoked tokens. */
  stillTrusts(identity: Identity, endpointId: string): boolean {
    return this.#verifierOf(identity.tenantId)?.stillTrusts(identity, endpointId) === true;
  }

  /**
   * Determines the identity of a credential. Answers at once if it is known or obviously invalid; otherwise returns undefined,
   * and calls `waiter` later. The credential is the value of the first field that isn't empty; undefined if there is none.
   */
  ask(credential: string | undefined, tenantId: string, waiter: Waiter): Identity | Refusal | undefined {
    const verifier = this.#verifierOf(tenantId);
    // A port that can't verify tokens must not reject them as invalid or missing: agents of Go Piko exit on a 401.
    if (verifier?.ready === false) return REFUSED.unready;
    const found = tokenOf(credential);
    if ("reason" in found) return found;
    if (verifier === undefined) return REFUSED.tenant;
    const { token } = found;
    if (token.length > MAX_TOKEN_BYTES) return REFUSED.size;
    const digest = RememberedTokens.digest(tenantId, token);
    const identity = this.#remembered.find(digest, this.#wallNow());
    return identity ?? this.#queue.add(verifier, token, digest, waiter);
  }

  /** The request has ended; its waiter isn't called any more. */
  cancel(waiter: Waiter): void {
    this.#queue.cancel(waiter);
  }

  /** Whether an identity is still valid without another verification. */
  isCurrent(identity: Identity): boolean {
    return identity.generation === this.#generation && identity.isFresh(this.#wallNow());
  }

  /** Counts and logs a refusal. */
  onRefused(refusal: Refusal, asked: Asked): void {
    const { reason } = refusal;
    this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1);
    this.audit?.refused(asked, refusal);
  }

  /** If there are tenants, each request has to name one. */
  #verifierOf(tenantId: string): Verifier | undefined {
    return tenantId === "" && this.#tenants.size === 0 ? this.#verifier : this.#tenants.get(tenantId);
  }

  close(): void {
    for (const verifier of this.verifiers()) verifier.close();
  }
}
