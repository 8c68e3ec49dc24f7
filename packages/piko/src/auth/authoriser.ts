// Decides who may use one port: finds the verifier of a credential, remembers accepted ones, counts rejected ones.

import type { Asked, AuditLog } from "./audit-log.js";
import type { Identity } from "./identity.js";
import { tokenOf } from "./credential.js";
import { REFUSED, type Refusal } from "./refusal.js";
import { MAX_TOKEN_BYTES } from "./token.js";
import { RememberedTokens } from "./remembered-tokens.js";
import { VerificationQueue, type Waiter } from "./verification-queue.js";
import type { Verifier } from "./verifier.js";

export interface AuthoriserOptions {
  /** `proxy`, `upstream` or `admin`. */
  readonly port: string;
  readonly maxPending: number;
  /** Undefined: not needed. */
  readonly audit?: AuditLog | undefined;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

export class Authoriser {
  readonly port: string;
  readonly audit: AuditLog | undefined;
  /** Refusals by reason. */
  readonly refused: Map<string, number> = new Map();
  /** What was accepted earlier may have to end. */
  onChange: () => void = () => {};
  readonly #wallNow: () => number;
  readonly #remembered = new RememberedTokens();
  readonly #queue: VerificationQueue;
  /** What tokens are verified by has changed so often. */
  #generation = 0;
  #ready = false;
  /** Of requests that name no tenant. */
  #verifier: Verifier | undefined = undefined;
  #tenants: ReadonlyMap<string, Verifier> = new Map();

  constructor({ audit, maxPending, port, wallNow }: AuthoriserOptions) {
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

  /** Every verifier has had keys, so that tokens can be distinguished; tenants that are added later don't count. */
  get ready(): boolean {
    this.#ready ||= [...this.verifiers()].every((verifier) => verifier.ready);
    return this.#ready;
  }

  /** Requests that wait for an answer. */
  get pending(): number {
    return this.#queue.pending;
  }

  /** Signatures that were looked at. */
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

  /** Sets whose tokens count; those that were there before are closed, unless they are among the new ones. */
  use(verifier: Verifier | undefined, tenants: ReadonlyMap<string, Verifier> = new Map()): void {
    const before = [...this.verifiers()];
    this.#verifier = verifier;
    this.#tenants = tenants;
    const now = new Set(this.verifiers());
    for (const old of before) if (!now.has(old)) old.close();
    this.changed();
  }

  /** Keys, tenants or revoked tokens are others than before: what was verified has to be verified again. */
  changed(): void {
    this.#generation++;
    this.#remembered.clear();
    this.onChange();
  }

  /** Whether what an identity was accepted for may continue under the current keys, tenants and revoked tokens. */
  stillTrusts(identity: Identity, endpointId: string): boolean {
    return this.#verifierOf(identity.tenantId)?.stillTrusts(identity, endpointId) === true;
  }

  /**
   * Whose credential is this? Answers at once if that is known or obvious; otherwise the answer is undefined, and
   * `waiter` is called later. The credential is the first field's value that isn't empty, undefined for none.
   */
  ask(credential: string | undefined, tenantId: string, waiter: Waiter): Identity | Refusal | undefined {
    const verifier = this.#verifierOf(tenantId);
    // A port that can't check tokens must not call one wrong or missing: agents of Go Piko exit on a 401.
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

  /** The request is over, and its answer no longer asked for. */
  cancel(waiter: Waiter): void {
    this.#queue.cancel(waiter);
  }

  /** This identity is still valid, without another check. */
  isCurrent(identity: Identity): boolean {
    return identity.generation === this.#generation && identity.isFresh(this.#wallNow());
  }

  /** Counts a refusal, and says who was refused. */
  onRefused(refusal: Refusal, asked: Asked): void {
    const { reason } = refusal;
    this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1);
    this.audit?.refused(asked, refusal);
  }

  /** Where there are tenants, each request names one. */
  #verifierOf(tenantId: string): Verifier | undefined {
    return tenantId === "" && this.#tenants.size === 0 ? this.#verifier : this.#tenants.get(tenantId);
  }

  close(): void {
    for (const verifier of this.verifiers()) verifier.close();
  }
}
