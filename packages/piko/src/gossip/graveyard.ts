// Nodes that are gone, remembered for a while, so that news of them from nodes that don't know it yet doesn't bring them
// back. Only an answer of the node itself does. They are asked now and then: behind a healed partition they may be alive.

interface Grave {
  readonly id: string;
  addr: string;
  readonly until: number;
  /** Next time at which being told of the node is worth a question. */
  nextProbeAt: number;
  pauseMs: number;
}

const MEMORY_MS = 600_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 4_000;
/** Oldest first out. */
const CAPACITY = 1_024;

/** The nodes that are gone. */
export class Graveyard {
  readonly #graves = new Map<string, Grave>();

  get size(): number {
    return this.#graves.size;
  }

  has(id: string): boolean {
    return this.#graves.has(id);
  }

  bury(id: string, addr: string, now: number): void {
    this.#graves.delete(id);
    this.#graves.set(id, {
      id,
      addr,
      until: now + MEMORY_MS,
      nextProbeAt: now + FIRST_PAUSE_MS,
      pauseMs: FIRST_PAUSE_MS,
    });
    if (this.#graves.size <= CAPACITY) return;
    for (const oldest of this.#graves.keys()) {
      this.#graves.delete(oldest);
      return;
    }
  }

  /** Forgets a node, since it has answered. */
  raise(id: string): void {
    this.#graves.delete(id);
  }

  /** Somebody speaks of a node that is gone as if it were alive: whether to ask it, at the address given. */
  rumour(id: string, addr: string, now: number): boolean {
    const grave = this.#graves.get(id);
    if (grave === undefined || now < grave.nextProbeAt) return false;
    grave.addr = addr;
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
      this.#graves.delete(grave.id);
    }
  }
}
