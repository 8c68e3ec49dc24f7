// What is known about all nodes: who they are, their keys, and what to send others about them. Implements the rules for
// versions, leaving and forgetting, without packets or timeouts. Called by the handlers and by the liveness check.

import { Arrivals } from "./failure-detector.js";
import { DeadNodes } from "./dead-nodes.js";
import type { LocalState } from "./local-state.js";
import { Member } from "./member.js";
import { COMPACT_KEY, type DigestEntry, type Entry, LEFT_KEY } from "../wire/messages.js";
import { type DeltaSource, NodeState, compactedVersion, isProtocolKey } from "./node-state.js";
import { type GossipLimit, type StateBudget, entryBytes } from "./state-budget.js";
import type { GossipWatch } from "./watch.js";

/** Maximum members and candidates, in total and known only from others: there is always room for nodes that contact this one. */
const MAX_MEMBERS = 4_096;
const MAX_HEARSAY = 3_072;
/**
 * How far a version may be ahead of the known one, and the maximum version at which a new node may begin: times in milliseconds are below
 * it. With a version near the largest possible one, which anyone could claim in its name, a node could not refute it any more.
 */
const MAX_LEAP = 2 ** 32;
const MAX_START = 2 ** 43;
/** Maximum length of the values of the protocol's own keys, which are always accepted. */
const PROTOCOL_VALUE_LENGTH = 32;

export interface ClusterStateOptions {
  readonly local: LocalState;
  readonly addr: string;
  readonly intervalMs: number;
  readonly expiryMs: number;
  readonly now: () => number;
  readonly watch: GossipWatch;
  readonly budget: StateBudget;
  /** Whether an address is validated. */
  readonly isValidated: (addr: string) => boolean;
  /** Called when something was rejected because of a limit. */
  readonly onLimit: (limit: GossipLimit) => void;
  /** Called when a node has become a member. */
  readonly onMember?: (id: string) => void;
}

/**
 * Intervals within which the answer to a question arrives, if it does. An answer doesn't identify its question; so during this time no
 * answers are accepted where there may have been other questions before: at the start of this process, whose address another one may have
 * had, and for a new node under an id that was known before.
 */
export const FOREIGN_ANSWERS = 2;

/** Digest entries that are always the latest changes; the rest of a packet is chosen at random. */
const LATEST_ENTRIES = 10;

export class ClusterState {
  readonly local: LocalState;
  readonly addr: string;
  readonly deadNodes: DeadNodes = new DeadNodes();
  /** By id; members whose keys changed last are at the end. */
  readonly #members = new Map<string, Member>();
  /** Reachable members, latest change first; undefined if it has to be rebuilt. */
  #order: Member[] | undefined;
  readonly #options: ClusterStateOptions;
  readonly #watch: GossipWatch;

  constructor(options: ClusterStateOptions) {
    this.local = options.local;
    this.addr = options.addr;
    this.#options = options;
    this.#watch = options.watch;
  }

  get members(): Iterable<Member> {
    return this.#members.values();
  }

  get size(): number {
    return this.#members.size;
  }

  find(id: string): Member | undefined {
    return this.#members.get(id);
  }

  /** Members that take part, excluding this node. */
  active(): Member[] {
    return [...this.#members.values()].filter((member) => member.active);
  }

  /** Whether some candidates have not answered yet, but still may. */
  get undecided(): boolean {
    for (const { status } of this.#members.values()) if (status === "candidate") return true;
    return false;
  }

  /** Adds a node that was unknown or gone as a candidate; `hearsay` if only others mentioned it. Undefined if the table is full. */
  learn(id: string, addr: string, hearsay = false): Member | undefined {
    const known = this.#members.get(id);
    if (known !== undefined) return known;
    if (this.#members.size >= (hearsay ? MAX_HEARSAY : MAX_MEMBERS)) {
      this.#options.onLimit("max_members");
      return undefined;
    }
    const before = this.deadNodes.has(id);
    const state = this.deadNodes.recall(id, addr);
    const { now, intervalMs } = this.#options;
    const member =
      before && state === undefined
        ? this.#recreate(id, addr)
        : new Member(state ?? new NodeState(id, this.#options.budget), addr, now(), intervalMs);
    this.#members.set(id, member);
    return member;
  }

  /** The node itself has answered; `since` is the latest time at which it is known to have been alive. */
  answered(member: Member, since: number = this.#options.now()): void {
    member.arrivals.report(since);
    member.asked = false;
    member.refused = false;
    member.suspected = false;
    if (member.status === "reachable") return;
    const was = member.status;
    member.status = "reachable";
    this.#order = undefined;
    if (was === "candidate") {
      if (member.left) this.forget(member);
      else this.#announce(member);
    } else {
      if (!member.left) member.expiresAt = undefined;
      this.#watch.onReachable?.(member.id);
    }
  }

  /** A member is silent for longer than usual. */
  suspect(member: Member): void {
    if (member.suspected) return;
    member.suspected = true;
    this.#watch.onSuspect?.(member.id);
  }

  /** The node has not answered in time. A candidate is dropped; it was never announced. */
  unreachable(member: Member): void {
    if (member.status === "candidate") {
      this.forget(member);
      return;
    }
    member.status = "unreachable";
    this.#order = undefined;
    member.expiresAt ??= this.#options.now() + this.#options.expiryMs;
    this.#watch.onUnreachable?.(member.id);
  }

  /** Forgets nodes that have been gone for long enough. */
  expire(): void {
    const now = this.#options.now();
    for (const member of this.#members.values()) {
      if (member.expiresAt === undefined || member.expiresAt > now) continue;
      this.forget(member);
      this.#watch.onExpired?.(member.id);
    }
    this.deadNodes.expire(now);
    this.#restoreCrowdedOut();
  }

  /** Removes a node from the table and remembers that it is gone. */
  forget(member: Member): void {
    this.#members.delete(member.id);
    this.#order = undefined;
    // A node that has left can return only as a new incarnation.
    if (member.left || member.truncatedAt > 0) member.state.release();
    const state = member.left || member.truncatedAt > 0 ? undefined : member.state;
    const { id, addr } = member;
    const { isValidated, now } = this.#options;
    this.deadNodes.remember({ id, addr, validated: isValidated(addr) }, state, now());
  }

  /** Replaces a node that moved to another address with a new one: a node never changes its address within an incarnation. */
  replace(member: Member, addr: string): Member {
    const { id, status } = member;
    member.state.release();
    const fresh = this.#recreate(id, addr);
    this.#members.delete(id);
    this.#members.set(id, fresh);
    this.#order = undefined;
    if (status !== "candidate") this.#watch.onExpired?.(id);
    return fresh;
  }

  /** Applies entries of a node that are newer than the known ones; returns how many were. */
  apply(member: Member, entries: readonly Entry[]): number {
    const { state } = member;
    const before = state.version;
    let applied = 0;
    for (const received of entries) {
      if (received.version <= state.version) continue;
      if (received.version > Math.max(state.version, MAX_START) + MAX_LEAP) break;
      const entry = this.#admit(member, received);
      if (entry === undefined) continue;
      const old = state.get(entry.key);
      const hadLeft = state.left;
      state.set(entry);
      applied += 1;
      if (isProtocolKey(entry)) {
        if (entry.key === LEFT_KEY && state.left && !hadLeft) this.#left(member);
        if (entry.key === COMPACT_KEY && !this.#compacted(member, entry)) break;
      } else if (member.status !== "candidate") {
        if (!entry.deleted) this.#watch.onUpsert?.(member.id, entry.key, entry.value);
        else if (old !== undefined && !old.deleted) this.#watch.onDelete?.(member.id, entry.key);
      }
    }
    if (state.version > before) {
      member.changedAt = this.#options.now();
      member.behindSince = state.version >= member.claimed ? undefined : this.#options.now();
      this.#order = undefined;
      // A candidate may have been dropped while entries were applied.
      if (this.#members.delete(member.id)) this.#members.set(member.id, member);
    }
    return applied;
  }

  /**
   * All that this node knows, for a digest: itself first, then the others, latest change first. Nodes that don't answer are left out, so
   * that this node doesn't spread them.
   */
  digest(): DigestEntry[] {
    return [this.ownDigestEntry(), ...this.#latestFirst().map(digestEntry)];
  }

  /**
   * A digest of at most `most` entries: the latest changes first, then random nodes. Nodes whose id is in `said` are left out, including
   * this one.
   */
  someDigest(max: number, random: () => number, listed?: ReadonlySet<string>): DigestEntry[] {
    const members = [...this.#latestFirst()];
    const entries = listed?.has(this.local.id) === true ? [] : [this.ownDigestEntry()];
    for (let i = 0; i < members.length && entries.length < max; i++) {
      if (i >= LATEST_ENTRIES) {
        const j = i + Math.floor(random() * (members.length - i));
        [members[i], members[j]] = [members[j] as Member, members[i] as Member];
      }
      const member = members[i] as Member;
      if (listed?.has(member.id) !== true) entries.push(digestEntry(member));
    }
    return entries;
  }

  /** At most `most` nodes whose keys changed since a time, latest change first. */
  latest(since: number, max: number): DigestEntry[] {
    return this.#latestFirst()
      .slice(0, max)
      .filter((member) => member.changedAt >= since)
      .map(digestEntry);
  }

  ownDigestEntry(): DigestEntry {
    const { id, version, left } = this.local;
    return { id, addr: this.addr, version, left };
  }

  /** Whether an id is this node's or in the table. */
  knows(id: string): boolean {
    return id === this.local.id || this.#members.has(id);
  }

  /** What the sender of a digest lacks about the nodes in the digest. */
  deltaFor(digest: readonly DigestEntry[]): DeltaSource[] {
    const sources: DeltaSource[] = [];
    for (const { id, version } of digest) {
      const source = this.#deltaOf(id, version);
      if (source !== undefined) sources.push(source);
    }
    return sources;
  }

  /**
   * The answer to a join: what {@link deltaFor} returns and, in full, every node that the digest lacks. `versions` are the digest's
   * versions of nodes that are known here. The joiner also gets what is known about itself, even if it counts as unreachable: it may be a
   * new incarnation under an old id.
   */
  fullDeltaFor(versions: ReadonlyMap<string, number>, joinerId: string): DeltaSource[] {
    const sources: DeltaSource[] = [];
    for (const [id, version] of versions) {
      const source = this.#deltaOf(id, version, id === joinerId);
      if (source !== undefined) sources.push(source);
    }
    const { local } = this;
    if (!versions.has(local.id))
      sources.push({ id: local.id, addr: this.addr, state: local.state, above: local.state.sendAbove(0) });
    for (const { active, id, addr, state, truncatedAt } of this.#members.values())
      if (active && truncatedAt === 0 && !versions.has(id)) sources.push({ id, addr, state, above: 0 });
    return sources;
  }

  #deltaOf(id: string, above: number, includeSilent = false): DeltaSource | undefined {
    const member = this.#members.get(id);
    const addr = member?.addr ?? this.addr;
    const state = id === this.local.id ? this.local.state : member?.state;
    if (state === undefined || state.version <= above) return undefined;
    // Nodes that lack it get it from the node itself, or from one that had room.
    if (member !== undefined && member.truncatedAt > 0) return undefined;
    return member === undefined || includeSilent || member.status === "reachable"
      ? { id, addr, state, above: state.sendAbove(above) }
      : undefined;
  }

  /** A node that was known before; nothing about its earlier incarnation is valid any more. */
  #recreate(id: string, addr: string): Member {
    const { now, intervalMs } = this.#options;
    const member = new Member(new NodeState(id, this.#options.budget), addr, now(), intervalMs);
    member.answersFrom = now() + FOREIGN_ANSWERS * intervalMs;
    return member;
  }

  #latestFirst(): readonly Member[] {
    this.#order ??= [...this.#members.values()].filter(({ status }) => status === "reachable").reverse();
    return this.#order;
  }

  #announce(member: Member): void {
    this.#options.onMember?.(member.id);
    this.#watch.onJoin?.(member.id);
    for (const { key, value } of member.state.visible()) this.#watch.onUpsert?.(member.id, key, value);
  }

  #left(member: Member): void {
    member.expiresAt ??= this.#options.now() + this.#options.expiryMs;
    if (member.status === "candidate") this.forget(member);
    else this.#watch.onLeave?.(member.id);
  }

  /**
   * What to apply of an entry: all of it, a deletion of its key, or, if there is no room, nothing. Its version counts in any case, so that
   * it isn't requested repeatedly.
   */
  #admit(member: Member, entry: Entry): Entry | undefined {
    const { key, value } = entry;
    if ((key === LEFT_KEY || key === COMPACT_KEY) && value.length <= PROTOCOL_VALUE_LENGTH) return entry;
    const { budget, onLimit } = this.#options;
    const { state } = member;
    const old = state.get(key);
    const bytes = entryBytes(entry);
    if (old !== undefined && bytes <= entryBytes(old)) return entry;
    const full = (): GossipLimit | undefined => {
      if (state.bytes + bytes > budget.maxNodeBytes) return "max_state_bytes_per_node";
      return budget.used + bytes > budget.maxBytes ? "max_state_bytes" : undefined;
    };
    let limit = full();
    // Not for each entry: the cost of sweeping grows with the number of entries.
    if (limit !== undefined && member.truncatedAt === 0) {
      state.sweep();
      this.deadNodes.forgetStates();
      limit = full();
    }
    if (limit === undefined) return entry;
    onLimit(limit);
    member.truncatedAt = entry.version;
    if (limit === "max_state_bytes") member.crowdedOut = true;
    if (old !== undefined) return { ...entry, value: "", deleted: true };
    state.skip(entry);
    return undefined;
  }

  /** When others have gone, starts again with a node for which there was no room: one at a time, since it may need much. */
  #restoreCrowdedOut(): void {
    const { budget } = this.#options;
    for (const member of this.#members.values()) {
      if (!member.crowdedOut || !member.active) continue;
      if (budget.used > budget.maxBytes / 2) this.deadNodes.forgetStates();
      if (budget.used <= budget.maxBytes / 2) this.replace(member, member.addr);
      return;
    }
  }

  /** Drops what a marker covers; false if the marker is invalid, and then nothing after it is applied either. */
  #compacted(member: Member, marker: Entry): boolean {
    const version = compactedVersion(marker);
    if (version === undefined) return false;
    const hadLeft = member.left;
    if (version >= member.truncatedAt) {
      member.truncatedAt = 0;
      member.crowdedOut = false;
    }
    const dropped = member.state.dropUpTo(Math.min(version, marker.version - 1));
    if (member.status === "candidate") return true;
    for (const entry of dropped) if (!isProtocolKey(entry)) this.#watch.onDelete?.(member.id, entry.key);
    if (hadLeft && !member.left) {
      // The node has returned under its old id and withdraws its leave marker. Only the node itself can show whether it is still alive.
      member.status = "candidate";
      member.expiresAt = undefined;
      member.arrivals = new Arrivals(this.#options.now(), this.#options.intervalMs);
      this.#order = undefined;
      this.#watch.onExpired?.(member.id);
    }
    return true;
  }
}

/** A member's digest entry. */
export function digestEntry(member: Member): DigestEntry {
  return { id: member.id, addr: member.addr, version: member.state.version, left: member.left };
}
