// Processes others' digests: unknown nodes, newer versions, statements about this node itself. Called for each digest, whether
// received in a packet or over TCP.

import type { GossipCore } from "./core.js";
import type { Member } from "../state/member.js";
import type { DigestEntry } from "../wire/messages.js";
import { isNodeId, parsePeerAddress } from "../wire/peer-address.js";

/** Difference of versions above which entries are fetched over TCP: several packets' worth. */
const FETCH_VERSIONS = 64;
/** Intervals after which missing entries are fetched over TCP because packets haven't brought them. */
const FETCH_AFTER = 10;

/** What is missing here according to a digest. */
export interface Missing {
  /** Members for which the sender has newer entries. */
  readonly members: readonly Member[];
  /** Whether to fetch over TCP, because packets would take too long. */
  readonly fetch: boolean;
}

/** Processes a digest that a node sent. */
export function receiveDigest(core: GossipCore, digest: readonly DigestEntry[]): Missing {
  const members: Member[] = [];
  let fetch = false;
  for (const entry of digest) {
    if (entry.id === core.local.id) {
      receiveOwnEntry(core, entry);
      continue;
    }
    const member = core.cluster.find(entry.id);
    if (member === undefined) learnOf(core, entry);
    else if (member.status === "reachable") {
      if (entry.version <= member.state.version) continue;
      members.push(member);
      fetch = isFarBehind(core, member, entry.version) || fetch;
    } else if (!entry.left && parsePeerAddress(entry.addr) !== undefined)
      core.probeMember(member, entry.addr);
  }
  return { members, fetch };
}

/**
 * Another node knows a version of this node that it hasn't reached in this incarnation, or knows it at another address or as having left.
 */
function receiveOwnEntry(core: GossipCore, { version, left, addr }: DigestEntry): void {
  const { local, cluster } = core;
  if (version > local.version) core.refuteVersion(version);
  else if (version > 0 && ((left && !local.left) || addr !== cluster.addr)) core.refuteOldIncarnation();
}

/** Adds a node as a candidate and probes it; a node that is gone is only probed occasionally. */
export function learnOf(
  core: GossipCore,
  { id, addr, left }: Omit<DigestEntry, "version">,
): Member | undefined {
  if (left || !isNodeId(id) || parsePeerAddress(addr) === undefined) return undefined;
  const { cluster } = core;
  if (cluster.deadNodes.has(id)) {
    if (cluster.deadNodes.mentioned(id, core.now()))
      core.probe(id, addr, cluster.deadNodes.version(id, addr));
    return undefined;
  }
  const member = cluster.learn(id, addr, true);
  if (member !== undefined) core.probeMember(member);
  return member;
}

function isFarBehind(core: GossipCore, member: Member, version: number): boolean {
  member.claimed = Math.max(member.claimed, version);
  const now = core.now();
  member.behindSince ??= now;
  return (
    version - member.state.version > FETCH_VERSIONS ||
    now - member.behindSince > FETCH_AFTER * core.intervalMs
  );
}
