// Nodes that are gone, remembered for a while, so that a digest of somebody who has not noticed yet doesn't bring them back.
// Only an answer of the node itself does. They are asked now and then: behind a healed partition they may be alive.

import type { NodeState } from "./node-state.js";

interface DeadNode {
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
export class DeadNodes {
  readonly #nodes = new Map<string, DeadNode>();
  #entries = 0;

  get size(): number {
    return this.#nodes.size;
  }

  has(id: string): boolean {
    return this.#nodes.has(id);
  }

  /** Remembers a node; its state only if it may be the same node that comes back. */
  remember(id: string, addr: string, state: NodeState | undefined, now: number): void {
    this.recall(id);
    const [until, nextProbeAt] = [now + MEMORY_MS, now + FIRST_PAUSE_MS];
    this.#nodes.set(id, { id, addr, state, until, nextProbeAt, pauseMs: FIRST_PAUSE_MS });
    this.#entries += state?.size ?? 0;
    for (const node of this.#nodes.values()) {
      if (this.#nodes.size > CAPACITY) this.recall(node.id);
      else if (this.#entries > MAX_ENTRIES) this.#forgetState(node);
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
    const { state } = node;
    this.#forgetState(node);
    this.#nodes.delete(id);
    return node.addr === addr ? state : undefined;
  }

  /** Somebody speaks of a node that is gone as if it were alive: whether to ask it. */
  mentioned(id: string, now: number): boolean {
    const node = this.#nodes.get(id);
    if (node === undefined || now < node.nextProbeAt) return false;
    node.nextProbeAt = now + node.pauseMs;
    node.pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * node.pauseMs);
    return true;
  }

  /** Any of them, to be asked without a cause. */
  pick(random: () => number): { readonly id: string; readonly addr: string } | undefined {
    let skip = Math.floor(random() * this.#nodes.size);
    for (const node of this.#nodes.values()) if (skip-- === 0) return node;
    return undefined;
  }

  /** Forgets those who have been gone long enough. */
  expire(now: number): void {
    for (const node of this.#nodes.values()) {
      if (node.until > now) return;
      this.recall(node.id);
    }
  }

  #forgetState(node: DeadNode): void {
    this.#entries -= node.state?.size ?? 0;
    node.state = undefined;
  }
}
