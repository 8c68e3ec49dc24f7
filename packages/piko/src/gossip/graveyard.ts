// Nodes that are gone, remembered for a while, so that news of them from nodes that don't know it yet doesn't bring them
// back. Only an answer of the node itself does. They are asked now and then: behind a healed partition they may be alive.

import type { NodeState } from "./node-state.js";

interface Grave {
  readonly id: string;
  readonly addr: string;
  /** What was known of it: if it comes back, answers to questions about it may still be on their way. */
  state: NodeState | undefined;
  readonly until: number;
  /** Next time at which being told of the node is worth a question. */
  nextProbeAt: number;
  pauseMs: number;
}

const MEMORY_MS = 600_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 4_000;
/** Nodes, and keys of theirs, that are remembered; oldest first out. */
const CAPACITY = 1_024;
const MAX_ENTRIES = 50_000;

/** The nodes that are gone. */
export class Graveyard {
  readonly #graves = new Map<string, Grave>();
  #entries = 0;

  get size(): number {
    return this.#graves.size;
  }

  has(id: string): boolean {
    return this.#graves.has(id);
  }

  /** Remembers a node; its state only if it may be the same node that comes back. */
  bury(id: string, addr: string, state: NodeState | undefined, now: number): void {
    this.raise(id);
    const [until, nextProbeAt] = [now + MEMORY_MS, now + FIRST_PAUSE_MS];
    this.#graves.set(id, { id, addr, state, until, nextProbeAt, pauseMs: FIRST_PAUSE_MS });
    this.#entries += state?.size ?? 0;
    for (const grave of this.#graves.values()) {
      if (this.#graves.size > CAPACITY) this.raise(grave.id);
      else if (this.#entries > MAX_ENTRIES) this.#forgetState(grave);
      else break;
    }
  }

  /** Version that is remembered of a node; none if it is to be asked at another address, as another life. */
  version(id: string, addr: string): number {
    const grave = this.#graves.get(id);
    return grave?.addr === addr ? (grave.state?.version ?? 0) : 0;
  }

  /** Forgets a node, since it is a candidate again; its state, if that is remembered and the address is the same. */
  raise(id: string, addr?: string): NodeState | undefined {
    const grave = this.#graves.get(id);
    if (grave === undefined) return undefined;
    const { state } = grave;
    this.#forgetState(grave);
    this.#graves.delete(id);
    return grave.addr === addr ? state : undefined;
  }

  /** Somebody speaks of a node that is gone as if it were alive: whether to ask it. */
  rumour(id: string, now: number): boolean {
    const grave = this.#graves.get(id);
    if (grave === undefined || now < grave.nextProbeAt) return false;
    grave.nextProbeAt = now + grave.pauseMs;
    grave.pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * grave.pauseMs);
    return true;
  }

  /** Any of them, to be asked without a cause. */
  pick(random: () => number): { readonly id: string; readonly addr: string } | undefined {
    let skip = Math.floor(random() * this.#graves.size);
    for (const grave of this.#graves.values()) if (skip-- === 0) return grave;
    return undefined;
  }

  /** Forgets those who have been gone long enough. */
  expire(now: number): void {
    for (const grave of this.#graves.values()) {
      if (grave.until > now) return;
      this.raise(grave.id);
    }
  }

  #forgetState(grave: Grave): void {
    this.#entries -= grave.state?.size ?? 0;
    grave.state = undefined;
  }
}
