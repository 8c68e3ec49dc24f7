// Verifications in progress or waiting. A few run at a time, so that many new tokens don't delay everything else; one
// serves all requests with the same token.

import { NextTurn, type Postponed } from "../net/next-turn.js";
import type { Identity } from "./identity.js";
import { REFUSED, type Refusal } from "./refusal.js";
import type { KeySeeker } from "./sought-keys.js";
import { readTokenHeader, type TokenHeader } from "./token.js";
import type { Verifier } from "./verifier.js";

/** A caller that gets its answer later. */
export interface Waiter {
  onVerified(result: Identity | Refusal): void;
}

/** Verifications in progress at a time: as many as Node has threads for them, all of whose answers may come in one turn. */
export const MAX_ACTIVE = 4;

/** Verifications begun in one turn. Those that need no signature are over within it, and all may have waited for the same key. */
const MAX_STARTS = 2 * MAX_ACTIVE;

/**
 * The part of all that wait which may wait for keys that aren't known: others have to be accepted meanwhile. By default there is
 * room for 300 requests a second while the next fetch, of one in ten seconds, is waited for.
 */
const KEY_WAITERS = 0.75;

/** One token. */
class Job implements KeySeeker {
  readonly digest: string;
  readonly token: string;
  readonly header: TokenHeader;
  readonly verifier: Verifier;
  readonly keyId: string;
  readonly waiters: Set<Waiter> = new Set();
  /** It waits for a key that isn't known. */
  forKey: boolean;
  /** It has waited, and the source of the keys could not say. */
  unsaid = false;
  readonly #queue: VerificationQueue;

  constructor(
    queue: VerificationQueue,
    verifier: Verifier,
    token: string,
    header: TokenHeader,
    digest: string,
    forKey: boolean,
  ) {
    this.#queue = queue;
    this.verifier = verifier;
    this.token = token;
    this.header = header;
    this.digest = digest;
    this.keyId = header.keyId ?? "";
    this.forKey = forKey;
  }

  onKeysTold(told: boolean): void {
    this.unsaid = !told;
    this.#queue.onKeyTold(this);
  }
}

export interface VerificationQueueOptions {
  readonly maxPending: number;
  /** The current verifier of a tenant's tokens. */
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

  /** Verifies a token; `waiter` is called, once and not before this returns, unless a refusal is returned at once. */
  add(verifier: Verifier, token: string, digest: string, waiter: Waiter): Refusal | undefined {
    const { maxPending } = this.#options;
    if (this.#jobOf.size >= maxPending) return REFUSED.busy;
    const same = this.#jobs.get(digest);
    const header = same?.header ?? readTokenHeader(token);
    if ("reason" in header) return header;
    const forKey = same?.forKey ?? verifier.soughtKey(header) !== undefined;
    if (forKey && this.#forKeys >= maxPending * KEY_WAITERS) return REFUSED.busy;
    if (forKey) this.#forKeys++;
    const job = same ?? new Job(this, verifier, token, header, digest, forKey);
    job.waiters.add(waiter);
    this.#jobOf.set(waiter, job);
    if (same !== undefined) return undefined;
    this.#jobs.set(digest, job);
    if (forKey) verifier.lookFor(job);
    else this.#enqueue(job);
    return undefined;
  }

  /** The caller has stopped waiting. */
  cancel(waiter: Waiter): void {
    const job = this.#jobOf.get(waiter);
    if (job === undefined) return;
    this.#jobOf.delete(waiter);
    job.waiters.delete(waiter);
    if (!job.forKey) return;
    this.#forKeys--;
    if (job.waiters.size > 0) return;
    job.verifier.forget(job);
    this.#jobs.delete(job.digest);
  }

  /** A job's key is there, or won't be. */
  onKeyTold(job: Job): void {
    this.#forKeys -= job.waiters.size;
    job.forKey = false;
    this.#enqueue(job);
  }

  onNextTurn(): void {
    this.#startedInTurn = 0;
    this.#startNext();
  }

  onFault(): void {}

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

  async #verify({ header, token, unsaid, verifier: asked }: Job): Promise<Identity | Refusal> {
    for (;;) {
      this.started++;
      const generation = this.#options.generation();
      // Asked each time: the tenant may have gone meanwhile, or have other keys.
      const verifier = this.#options.verifierOf(asked.tenantId);
      if (verifier === undefined) return REFUSED.tenant;
      if (unsaid && verifier.soughtKey(header) !== undefined) return REFUSED.unready;
      const result = await verifier.check(token, header, generation);
      if (generation === this.#options.generation()) return result;
    }
  }
}
