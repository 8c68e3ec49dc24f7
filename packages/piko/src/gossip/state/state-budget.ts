// Limits the memory for the keys of other nodes: of all together, and of each. Anyone who reaches the gossip port can be
// a node, so what nodes announce may be arbitrary.

import type { Entry } from "../wire/messages.js";

/** What cannot be taken in any more, and why. */
export type GossipLimit =
  | "max_state_bytes"
  | "max_state_bytes_per_node"
  | "max_members"
  | "max_connections"
  | "max_unvalidated_bytes";

/** Part of all memory that one node may take. */
const PART_OF_ONE = 4;
/** What a key costs besides its text: entry, map, order, and the owner's table. Measured: 380 to 450 bytes. */
const ENTRY_BYTES = 400;

/** The memory of one node's view of the others. */
export class StateBudget {
  readonly maxBytes: number;
  readonly maxNodeBytes: number;
  /** What is taken now. */
  used = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
    this.maxNodeBytes = this.maxBytes / PART_OF_ONE;
  }
}

/** What an entry costs, about. */
export function entryBytes({ key, value }: Entry): number {
  return ENTRY_BYTES + 2 * (key.length + value.length);
}
