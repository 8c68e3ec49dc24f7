// Verifications that are under way or wait for their turn. A few at a time, so that a crowd of new tokens doesn't keep
// everybody else waiting; one for all that ask for the same token at once.

import { NextTurn, type Postponed } from "../net/next-turn.js";
import type { Identity } from "./identity.js";
import { REFUSED, type Refusal } from "./refusal.js";
import { readTokenHeader, type TokenHeader } from "./token.js";
import type { Verifier } from "./verifier.js";

/** Who asks, and is answered later. */
export interface Waiter {
  onVerified(result: Identity | Refusal): void;
}

/** Verifications under way at a time: as many as Node has threads for them, all of whose answers may come in one turn. */
export const MAX_ACTIVE = 4;

/** Verifications begun in one turn. Those that need no signature are over within it, and all may have waited for the same key. */
const MAX_STARTS = 2 * MAX_ACTIVE;

/** The part of all that wait which may wait for keys that aren't known: others have to be let in meanwhile. */
const KEY_WAITERS = 0.25;

interface Job {
  readonly digest: string;
  readonly tenantId: string;
  readonly token: string;
  readonly header: TokenHeader;
  readonly waiters: Set<Waiter>;
  /** It waits for a key that isn't known. */
  forKey: boolean;
  /** It has waited, and the source of the keys could not say. */
  unsaid: boolean;
}

export interface VerificationQueueOptions {
  readonly maxPending: number;
  /** Who verifies a tenant's tokens now. */
  readonly verifierOf: (tenantId: string) => Verifier | undefined;
  /** What counts now; a verification that began under another number is done again. */
  readonly generation: () => number;
  readonly onVerified: (digest: string, identity: Identity) => void;
}

export class VerificationQueue implements Postponed {
  /** Verifications begun. */
  started = 0;
  readonly #options: VerificationQueueOptions;
  readonly #jobs = new Map<string, Job>();
  readonly #jobOf = new Map<Waiter, Job>();
  readonly #ready: Job[] = [];
  readonly #turns = new NextTurn();
  /** Waiters of jobs that wait for keys. */
  #forKeys = 0;
  #active = 0;
  #startedInTurn = 0;

  constructor(options: VerificationQueueOptions) {
    this.#options = options;
  }

  /** Those that wait for an answer. */
  get pending(): number {
    return this.#jobOf.size;
  }

  /** Verifies a token; `waiter` is told, once and not before this returns, unless a refusal is returned at once. */
  add(verifier: Verifier, token: string, digest: string, waiter: Waiter): Refusal | undefined {
    const { maxPending } = this.#options;
    if (this.#jobOf.size >= maxPending) return REFUSED.busy;
    const same = this.#jobs.get(digest);
    const header = same?.header ?? readTokenHeader(token);
    if ("reason" in header) return header;
    const keyId = same === undefined ? verifier.soughtKey(header) : undefined;
    const forKey = same?.forKey ?? keyId !== undefined;
    if (forKey && this.#forKeys >= maxPending * KEY_WAITERS) return REFUSED.busy;
    if (forKey) this.#forKeys++;
    const { tenantId } = verifier;
    const job = same ?? { digest, tenantId, token, header, waiters: new Set(), forKey, unsaid: false };
    job.waiters.add(waiter);
    this.#jobOf.set(waiter, job);
    if (same !== undefined) return undefined;
    this.#jobs.set(digest, job);
    if (keyId === undefined) this.#enqueue(job);
    else void this.#waitForKey(job, verifier.lookFor(keyId));
    return undefined;
  }

  /** Who has asked doesn't want to know any more. */
  cancel(waiter: Waiter): void {
    const job = this.#jobOf.get(waiter);
    if (job === undefined) return;
    this.#jobOf.delete(waiter);
    job.waiters.delete(waiter);
    if (!job.forKey) return;
    this.#forKeys--;
    // It would hold its place for as long as the fetch takes.
    if (job.waiters.size === 0) this.#jobs.delete(job.digest);
  }

  onNextTurn(): void {
    this.#startedInTurn = 0;
    this.#startNext();
  }

  onFault(): void {}

  async #waitForKey(job: Job, answered: Promise<boolean>): Promise<void> {
    const told = await answered;
    if (job.waiters.size === 0) return;
    this.#forKeys -= job.waiters.size;
    job.forKey = false;
    job.unsaid = !told;
    this.#enqueue(job);
  }

  #enqueue(job: Job): void {
    this.#ready.push(job);
    this.#startNext();
  }

  #startNext(): void {
    while (this.#active < MAX_ACTIVE && this.#startedInTurn < MAX_STARTS) {
      const job = this.#ready.shift();
      if (job === undefined) return;
      if (job.waiters.size === 0) this.#jobs.delete(job.digest);
      else {
        if (this.#startedInTurn++ === 0) this.#turns.add(this);
        void this.#run(job);
      }
    }
  }

  async #run(job: Job): Promise<void> {
    this.#active++;
    const result = await this.#verify(job);
    this.#active--;
    this.#jobs.delete(job.digest);
    if (!("reason" in result)) this.#options.onVerified(job.digest, result);
    this.#startNext();
    for (const waiter of job.waiters) {
      this.#jobOf.delete(waiter);
      waiter.onVerified(result);
    }
  }

  async #verify({ header, tenantId, token, unsaid }: Job): Promise<Identity | Refusal> {
    for (;;) {
      this.started++;
      const generation = this.#options.generation();
      // Asked each time: the tenant may have gone meanwhile, or have other keys.
      const verifier = this.#options.verifierOf(tenantId);
      if (verifier === undefined) return REFUSED.tenant;
      if (unsaid && verifier.soughtKey(header) !== undefined) return REFUSED.unready;
      const result = await verifier.check(token, header, generation);
      if (generation === this.#options.generation()) return result;
    }
  }
}
