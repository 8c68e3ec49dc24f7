// Removed nodes, remembered for a while, so that a digest from a node that hasn't noticed yet doesn't bring them back.
// Only their own answer does. They are probed now and then: after a partition has healed they may be alive.

import type { NodeState } from "./node-state.js";

/** A node that is gone. */
export interface GoneNode {
  readonly id: string;
  readonly addr: string;
  /** Its address was real: it is asked without a cause, too. */
  readonly validated: boolean;
}

interface DeadNode extends GoneNode {
  /** What was known of it: if it returns, answers to questions about it may still be on their way. */
  state: NodeState | undefined;
  readonly until: number;
  /** Next time at which a mention of the node is worth a probe. */
  nextProbeAt: number;
  pauseMs: number;
}

const MEMORY_MS = 600_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 4_000;
/** Nodes, and memory for keys of theirs, that are remembered; oldest first out. */
const CAPACITY = 1_024;
const MAX_BYTES = 16 * 1_024 * 1_024;

/** The nodes that are gone. */
export class DeadNodes {
  readonly #nodes = new Map<string, DeadNode>();
  #bytes = 0;

  get size(): number {
    return this.#nodes.size;
  }

  has(id: string): boolean {
    return this.#nodes.has(id);
  }

  /** Remembers a node; its state only if it may be the same node that returns. */
  remember({ id, addr, validated }: GoneNode, state: NodeState | undefined, now: number): void {
    this.recall(id);
    const [until, nextProbeAt] = [now + MEMORY_MS, now + FIRST_PAUSE_MS];
    this.#nodes.set(id, { id, addr, validated, state, until, nextProbeAt, pauseMs: FIRST_PAUSE_MS });
    this.#bytes += state?.bytes ?? 0;
    for (const node of this.#nodes.values()) {
      if (this.#nodes.size > CAPACITY) this.recall(node.id);
      else if (this.#bytes > MAX_BYTES) this.#forgetState(node);
      else break;
    }
  }

  /** Version that is remembered of a node; none if it is to be asked at another address, as another incarnation. */
  version(id: string, addr: string): number {
    const node = this.#nodes.get(id);
    return node?.addr === addr ? (node.state?.version ?? 0) : 0;
  }

  /** Forgets a node, since it is a candidate again; its state, if that is remembered and the address is the same. */
  recall(id: string, addr?: string): NodeState | undefined {
    const node = this.#nodes.get(id);
    if (node === undefined) return undefined;
    this.#nodes.delete(id);
    if (node.addr !== addr) {
      this.#forgetState(node);
      return undefined;
    }
    this.#bytes -= node.state?.bytes ?? 0;
    return node.state;
  }

  /** Somebody speaks of a node that is gone as if it were alive: whether to ask it. */
  mentioned(id: string, now: number): boolean {
    const node = this.#nodes.get(id);
    if (node === undefined || now < node.nextProbeAt) return false;
    node.nextProbeAt = now + node.pauseMs;
    node.pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * node.pauseMs);
    return true;
  }

  /** Any of those whose address was real, to be asked without a cause. Others may be an invention. */
  pick(random: () => number): GoneNode | undefined {
    let real = 0;
    for (const { validated } of this.#nodes.values()) if (validated) real += 1;
    let skip = Math.floor(random() * real);
    for (const node of this.#nodes.values()) if (node.validated && skip-- === 0) return node;
    return undefined;
  }

  /** Gives up the keys of all: there are nodes that need the memory. */
  forgetStates(): void {
    for (const node of this.#nodes.values()) this.#forgetState(node);
  }

  /** Forgets those who have been gone long enough. */
  expire(now: number): void {
    for (const node of this.#nodes.values()) {
      if (node.until > now) return;
      this.recall(node.id);
    }
  }

  #forgetState(node: DeadNode): void {
    this.#bytes -= node.state?.bytes ?? 0;
    node.state?.release();
    node.state = undefined;
  }
}
