// Limits the memory for the keys of other nodes, in total and per node. Anyone who reaches the gossip port can pose as a node,
// so nodes may announce anything.

import type { Entry } from "../wire/messages.js";

/** A limit that rejected something. */
export type GossipLimit =
  | "max_state_bytes"
  | "max_state_bytes_per_node"
  | "max_members"
  | "max_connections"
  | "max_unvalidated_bytes";

/** One node may take at most this fraction (1/n) of the memory. */
const PART_OF_ONE = 4;
/** Memory of a key besides its text: entry, map, order, and the owner's table. Measured: 380 to 450 bytes. */
const ENTRY_BYTES = 400;

/** The memory for what one node knows about the others. */
export class StateBudget {
  readonly maxBytes: number;
  readonly maxNodeBytes: number;
  /** Bytes in use. */
  used = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
    this.maxNodeBytes = this.maxBytes / PART_OF_ONE;
  }
}

/** Approximate memory of an entry, in bytes. */
export function entryBytes({ key, value }: Entry): number {
  return ENTRY_BYTES + 2 * (key.length + value.length);
}
