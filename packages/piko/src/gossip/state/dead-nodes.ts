// Removed nodes, remembered for a while, so that a digest from a node that hasn't noticed yet doesn't bring them back. Only
// their own answer does. They are probed occasionally: after a partition has healed they may be alive.

import type { NodeState } from "./node-state.js";

/** A node that is gone. */
export interface GoneNode {
  readonly id: string;
  readonly addr: string;
  /** Its address was validated: it is also probed if no one mentions it. */
  readonly validated: boolean;
}

interface DeadNode extends GoneNode {
  /** Its keys: if it returns, answers to questions about it may still be in transit. */
  state: NodeState | undefined;
  readonly until: number;
  /** Next time at which a mention of the node is worth a probe. */
  nextProbeAt: number;
  pauseMs: number;
}

const MEMORY_MS = 600_000;
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 4_000;
/** Maximum nodes to remember, and memory for their keys; the oldest are dropped first. */
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

  /** Remembers a node. Pass its state only if the same incarnation may return. */
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

  /** Known version of a node; 0 at another address, where it would be another incarnation. */
  version(id: string, addr: string): number {
    const node = this.#nodes.get(id);
    return node?.addr === addr ? (node.state?.version ?? 0) : 0;
  }

  /** Forgets a node, since it is a candidate again. Returns its state if that is remembered and the address is the same. */
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

  /** Another node mentioned a dead node as if it were alive. Returns whether to probe it. */
  mentioned(id: string, now: number): boolean {
    const node = this.#nodes.get(id);
    if (node === undefined || now < node.nextProbeAt) return false;
    node.nextProbeAt = now + node.pauseMs;
    node.pauseMs = Math.min(MAX_PAUSE_MS, 2 * node.pauseMs);
    return true;
  }

  /** A random one of those whose address was validated, to be probed unprompted. Others may be invented. */
  pick(random: () => number): GoneNode | undefined {
    let real = 0;
    for (const { validated } of this.#nodes.values()) if (validated) real += 1;
    let skip = Math.floor(random() * real);
    for (const node of this.#nodes.values()) if (node.validated && skip-- === 0) return node;
    return undefined;
  }

  /** Drops the keys of all dead nodes, because live ones need the memory. */
  forgetStates(): void {
    for (const node of this.#nodes.values()) this.#forgetState(node);
  }

  /** Forgets nodes that have been gone for long enough. */
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
