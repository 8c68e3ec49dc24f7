// Verifications that are in progress or queued. Only a few run at a time, so that many new tokens don't delay everything else;
// one verification serves all requests with the same token.

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

/** Maximum verifications in progress: as many as Node has threads for them. All of their results may arrive in one turn. */
export const MAX_ACTIVE = 4;

/**
 * Maximum verifications begun in one turn. Those that need no signature end within the turn, and many may have waited for the same key.
 */
const MAX_STARTS = 2 * MAX_ACTIVE;

/**
 * Fraction of `maxPending` that may wait for unknown keys: other requests have to be accepted meanwhile. By default there is
 * room for 300 requests a second until the next fetch, which may be ten seconds away.
 */
const KEY_WAITERS = 0.75;

/** The verification of one token. */
class Job implements KeySeeker {
  readonly digest: string;
  readonly token: string;
  readonly header: TokenHeader;
  readonly verifier: Verifier;
  readonly keyId: string;
  readonly waiters: Set<Waiter> = new Set();
  /** Whether it waits for an unknown key. */
  forKey: boolean;
  /** Whether it waited for a key and the source could not be asked. */
  sourceUnavailable = false;
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

  onSearchEnd(succeeded: boolean): void {
    this.sourceUnavailable = !succeeded;
    this.#queue.onKeySearchEnd(this);
  }
}

export interface VerificationQueueOptions {
  readonly maxPending: number;
  /** The current verifier of a tenant's tokens. */
  readonly verifierOf: (tenantId: string) => Verifier | undefined;
  /** The current generation; a verification that began in another one is repeated. */
  readonly generation: () => number;
  readonly onVerified: (digest: string, identity: Identity) => void;
}

export class VerificationQueue implements Postponed {
  /** Number of verifications begun. */
  started = 0;
  readonly #options: VerificationQueueOptions;
  readonly #jobs = new Map<string, Job>();
  readonly #jobOf = new Map<Waiter, Job>();
  readonly #ready: Job[] = [];
  readonly #turns = new NextTurn();
  /** Number of waiters of jobs that wait for keys. */
  #forKeys = 0;
  #active = 0;
  #startedInTurn = 0;

  constructor(options: VerificationQueueOptions) {
    this.#options = options;
  }

  /** Number of requests that wait for an answer. */
  get pending(): number {
    return this.#jobOf.size;
  }

  /** Verifies a token. `waiter` is called once, after this returns, unless a refusal is returned at once. */
  add(verifier: Verifier, token: string, digest: string, waiter: Waiter): Refusal | undefined {
    const { maxPending } = this.#options;
    if (this.#jobOf.size >= maxPending) return REFUSED.busy;
    const same = this.#jobs.get(digest);
    const header = same?.header ?? readTokenHeader(token);
    if ("reason" in header) return header;
    const forKey = same?.forKey ?? verifier.unknownKey(header) !== undefined;
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

  /** A job's key was found, or its search has ended. */
  onKeySearchEnd(job: Job): void {
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

  async #verify({ header, token, sourceUnavailable, verifier: asked }: Job): Promise<Identity | Refusal> {
    for (;;) {
      this.started++;
      const generation = this.#options.generation();
      // Looked up each time: the tenant may have been removed in the meantime, or have other keys.
      const verifier = this.#options.verifierOf(asked.tenantId);
      if (verifier === undefined) return REFUSED.tenant;
      if (sourceUnavailable && verifier.unknownKey(header) !== undefined) return REFUSED.unready;
      const result = await verifier.check(token, header, generation);
      if (generation === this.#options.generation()) return result;
    }
  }
}
