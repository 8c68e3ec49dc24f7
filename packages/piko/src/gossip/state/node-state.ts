// What is known about one node: its keys, each with the version of its last change. Entries are kept in order of version,
// because they have to be sent in that order: a receiver ignores everything up to the version that it has.

import { COMPACT_KEY, type Entry, LEFT_KEY } from "../wire/messages.js";
import { type StateBudget, entryBytes } from "./state-budget.js";

/** Replaced entries are swept once there are this many more of them than live entries. */
const SLACK = 64;
const SLACK_BYTES = 64 * 1_024;
/** Prefix of the internal keys that belong to gossip itself. */
const PROTOCOL_PREFIX = "_internal:";

/** A node for which a peer has only the entries up to `above`. */
export interface DeltaSource {
  readonly id: string;
  readonly addr: string;
  readonly state: NodeState;
  readonly above: number;
}

/** One node's keys. */
export class NodeState {
  readonly id: string;
  /** Version of the newest entry that was ever set; 0 if none was. */
  version = 0;
  /** Whether the node has announced that it leaves. */
  left = false;
  /** Entries with the deleted flag. */
  deletedCount = 0;
  /** Entries with the internal flag. */
  internalCount = 0;
  /** Memory that it takes, including replaced entries that weren't swept yet. */
  bytes = 0;
  /** The part of it for current entries. */
  #liveBytes = 0;
  readonly #budget: StateBudget | undefined;
  readonly #entries = new Map<string, Entry>();
  /** Entries in ascending order of version; some were replaced since and are ignored. */
  #log: Entry[] = [];

  /** `budget`: the limited memory that it is charged to, if any. */
  constructor(id: string, budget?: StateBudget) {
    this.id = id;
    this.#budget = budget;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  /** Sets a key. The entry's version must be above {@link version}. */
  set(entry: Entry): void {
    const previous = this.#entries.get(entry.key);
    if (previous !== undefined) {
      this.#count(previous, -1);
      this.#liveBytes -= entryBytes(previous);
    }
    this.#count(entry, 1);
    this.#entries.set(entry.key, entry);
    this.#log.push(entry);
    this.version = entry.version;
    const bytes = entryBytes(entry);
    this.#liveBytes += bytes;
    this.#take(bytes);
    const dead = this.bytes - this.#liveBytes;
    if (this.#log.length > 2 * this.#entries.size + SLACK || dead > this.#liveBytes + SLACK_BYTES)
      this.sweep();
  }

  /** Skips an entry for which there is no room. */
  skip(entry: Entry): void {
    this.version = entry.version;
  }

  /** Returns its memory to the budget; it must not be used afterwards. */
  release(): void {
    this.#take(-this.bytes);
  }

  /** Drops all entries up to a version, and returns those that weren't deleted before. */
  dropUpTo(version: number): Entry[] {
    const dropped: Entry[] = [];
    for (const entry of this.#log) {
      if (entry.version > version) break;
      if (this.#entries.get(entry.key) !== entry) continue;
      this.#entries.delete(entry.key);
      this.#count(entry, -1);
      this.#liveBytes -= entryBytes(entry);
      if (!entry.deleted) dropped.push(entry);
    }
    this.sweep();
    return dropped;
  }

  /** Entries above a version, ascending. Stops early when `visit` returns false. */
  visitAbove(version: number, visit: (entry: Entry) => boolean): void {
    for (let i = this.#firstAbove(version); i < this.#log.length; i++) {
      const entry = this.#log[i];
      if (entry !== undefined && this.#entries.get(entry.key) === entry && !visit(entry)) return;
    }
  }

  /** Entries above a version, ascending. */
  above(version: number): Entry[] {
    const entries: Entry[] = [];
    this.visitAbove(version, (entry) => {
      entries.push(entry);
      return true;
    });
    return entries;
  }

  /**
   * The version above which entries are sent to a peer that has those up to `above`. For a node that has left, that is only the
   * leave marker: after other entries it might not fit into a packet, and the peer would add the node as if it were alive.
   */
  sendAbove(above: number): number {
    const marker = this.left ? this.get(LEFT_KEY) : undefined;
    return marker === undefined ? above : Math.max(above, marker.version - 1);
  }

  /** The entries that are reported to gossip's owner: neither deleted nor the protocol's own, ascending by version. */
  visible(): Entry[] {
    return this.above(0).filter((entry) => !entry.deleted && !isProtocolKey(entry));
  }

  #firstAbove(version: number): number {
    let low = 0;
    let high = this.#log.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#log[middle]?.version ?? 0) > version) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Frees the memory of replaced entries. */
  sweep(): void {
    this.#log = this.#log.filter((entry) => this.#entries.get(entry.key) === entry);
    this.#take(this.#liveBytes - this.bytes);
  }

  #take(bytes: number): void {
    this.bytes += bytes;
    if (this.#budget !== undefined) this.#budget.used += bytes;
  }

  #count(entry: Entry, by: number): void {
    if (entry.deleted) this.deletedCount += by;
    if (!entry.internal) return;
    this.internalCount += by;
    if (entry.key === LEFT_KEY) this.left = by > 0 && !entry.deleted;
  }
}

/** Whether an entry is one of the protocol's own, by which nodes announce their state. */
export function isProtocolKey({ internal, key }: Entry): boolean {
  return internal && key.startsWith(PROTOCOL_PREFIX);
}

/** The version in a compaction marker; undefined if the entry isn't one or its value isn't a version. */
export function compactedVersion(entry: Entry): number | undefined {
  if (entry.key !== COMPACT_KEY || !entry.internal || !/^\d{1,16}$/.test(entry.value)) return undefined;
  const version = Number(entry.value);
  return Number.isSafeInteger(version) ? version : undefined;
}
