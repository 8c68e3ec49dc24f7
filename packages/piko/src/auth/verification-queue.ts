// Verifications that are under way or wait for their turn. A few at a time, so that a crowd of new tokens doesn't keep
// everybody else waiting; one for all that ask for the same token at once.

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

/** The part of all that wait which may wait for keys that aren't known: others have to be let in meanwhile. */
const KEY_WAITERS = 0.25;

interface Job {
  readonly digest: string;
  readonly verifier: Verifier;
  readonly token: string;
  readonly header: TokenHeader;
  readonly waiters: Set<Waiter>;
}

export interface VerificationQueueOptions {
  readonly maxPending: number;
  /** What counts now; a verification that began under another number is done again. */
  readonly generation: () => number;
  readonly onVerified: (digest: string, identity: Identity) => void;
}

export class VerificationQueue {
  /** Verifications begun. */
  started = 0;
  readonly #options: VerificationQueueOptions;
  readonly #jobs = new Map<string, Job>();
  readonly #jobOf = new Map<Waiter, Job>();
  readonly #ready: Job[] = [];
  /** Waiters of jobs that wait for keys. */
  #forKeys = 0;
  #active = 0;

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
    if (same !== undefined) {
      this.#join(same, waiter);
      return undefined;
    }
    const header = readTokenHeader(token);
    if ("reason" in header) return header;
    const forKeys = verifier.asksForKeys(header);
    if (forKeys && this.#forKeys >= maxPending * KEY_WAITERS) return REFUSED.busy;
    const job: Job = { digest, verifier, token, header, waiters: new Set() };
    this.#jobs.set(digest, job);
    this.#join(job, waiter);
    if (forKeys) void this.#waitForKeys(job);
    else this.#enqueue(job);
    return undefined;
  }

  /** Who has asked doesn't want to know any more. */
  cancel(waiter: Waiter): void {
    const job = this.#jobOf.get(waiter);
    if (job === undefined) return;
    this.#jobOf.delete(waiter);
    job.waiters.delete(waiter);
  }

  #join(job: Job, waiter: Waiter): void {
    job.waiters.add(waiter);
    this.#jobOf.set(waiter, job);
  }

  async #waitForKeys(job: Job): Promise<void> {
    this.#forKeys++;
    await job.verifier.refresh();
    this.#forKeys--;
    this.#enqueue(job);
  }

  #enqueue(job: Job): void {
    this.#ready.push(job);
    this.#startNext();
  }

  #startNext(): void {
    while (this.#active < MAX_ACTIVE) {
      const job = this.#ready.shift();
      if (job === undefined) return;
      if (job.waiters.size === 0) this.#jobs.delete(job.digest);
      else void this.#run(job);
    }
  }

  async #run(job: Job): Promise<void> {
    this.#active++;
    const { digest, header, token, verifier } = job;
    let generation: number;
    let result: Identity | Refusal;
    do {
      this.started++;
      generation = this.#options.generation();
      result = await verifier.check(token, header, generation);
      // Keys or revoked tokens have changed meanwhile.
    } while (generation !== this.#options.generation());
    this.#active--;
    this.#jobs.delete(digest);
    if (!("reason" in result)) this.#options.onVerified(digest, result);
    this.#startNext();
    for (const waiter of job.waiters) {
      this.#jobOf.delete(waiter);
      waiter.onVerified(result);
    }
  }
}
