// This node's own keys: only this node changes them, and each change gets the next version. Called by the public class and, to
// refute what others remember of an earlier incarnation, by the packet handlers.

import { GossipError } from "../wire/errors.js";
import { COMPACT_KEY, type Entry, LEFT_KEY } from "../wire/messages.js";
import { NodeState } from "./node-state.js";

/** Maximum version of this node that is believed when others claim it, so that later versions remain exact numbers. */
const MAX_BELIEVABLE_VERSION = 2 ** 52;
/**
 * How far it continues above what one node remembers of an earlier incarnation: others may remember later versions of that incarnation.
 */
const LEAP = 2 ** 20;

export interface LocalStateOptions {
  readonly id: string;
  /** Number of deleted entries that triggers a compaction. */
  readonly compactionThreshold: number;
  /** Whether an entry fits into a packet at any version. */
  readonly fits: (key: string, value: string) => boolean;
  /** Version above which this incarnation begins. */
  readonly initialVersion: number;
}

/** The state of this node itself. */
export class LocalState {
  readonly state: NodeState;
  readonly #options: LocalStateOptions;

  constructor(options: LocalStateOptions) {
    this.state = new NodeState(options.id);
    this.#options = options;
    if (options.initialVersion > 0) this.#renew(options.initialVersion);
  }

  get id(): string {
    return this.state.id;
  }

  get version(): number {
    return this.state.version;
  }

  get left(): boolean {
    return this.state.left;
  }

  /**
   * Sets a key; false if it already has the value.
   *
   * @throws GossipError for a key of the protocol, an empty one, or one that doesn't fit into a packet with its value.
   */
  upsert(key: string, value: string, internal = false): boolean {
    if (key === "" || key === LEFT_KEY || key === COMPACT_KEY)
      throw new GossipError("PIKO_GOSSIP_RESERVED_KEY", `reserved key ${JSON.stringify(key)}`);
    if (!this.#options.fits(key, value)) {
      const bytes = Buffer.byteLength(key) + Buffer.byteLength(value);
      throw new GossipError(
        "PIKO_GOSSIP_ENTRY_TOO_LARGE",
        `entry of ${bytes} bytes does not fit into a packet: ${key.slice(0, 64)}`,
      );
    }
    const old = this.state.get(key);
    if (old !== undefined && !old.deleted && old.value === value && old.internal === internal) return false;
    this.#set(key, value, internal, false);
    return true;
  }

  /** Deletes a key; false if it doesn't exist. */
  delete(key: string): boolean {
    const old = this.state.get(key);
    if (old === undefined || old.deleted || key === LEFT_KEY || key === COMPACT_KEY) return false;
    this.#set(key, "", old.internal, true);
    return true;
  }

  /** Marks this node as having left; false if it already was. */
  leave(): boolean {
    if (this.state.left) return false;
    this.#set(LEFT_KEY, "", true, false);
    return true;
  }

  /**
   * Drops deleted entries once there are enough of them. Each live entry gets a new version, since all nodes drop everything
   * older; so do the protocol's internal keys, which others would otherwise report as deleted. With many live keys it waits for
   * as many deleted ones, so that each deletion costs a bounded number of entries sent.
   */
  compact(): boolean {
    const { deletedCount, size } = this.state;
    if (deletedCount < Math.max(this.#options.compactionThreshold, size - deletedCount)) return false;
    this.#renew(this.version);
    return true;
  }

  /**
   * Continues above a version that others remember of an earlier incarnation, and makes them drop what they remember. False if
   * the version is too high to be believed.
   */
  continueAbove(version: number): boolean {
    if (version > MAX_BELIEVABLE_VERSION) return false;
    this.#renew(Math.max(version, this.version) + LEAP);
    return true;
  }

  #renew(base: number): void {
    const entries = this.state.above(0);
    this.state.version = base;
    for (const { key, value, internal, deleted } of entries) {
      if (!deleted && key !== COMPACT_KEY) this.#set(key, value, internal, false);
    }
    this.#set(COMPACT_KEY, `${base}`, true, false);
    this.state.dropUpTo(base);
  }

  #set(key: string, value: string, internal: boolean, deleted: boolean): void {
    const entry: Entry = { key, value, version: this.version + 1, internal, deleted };
    this.state.set(entry);
  }
}
