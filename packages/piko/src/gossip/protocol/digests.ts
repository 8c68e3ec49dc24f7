// Processes others' digests: nodes that are unknown here, newer versions, statements about this node itself. Called for
// each digest, whether it came in a packet or over TCP.

import type { GossipCore } from "./core.js";
import type { Member } from "../state/member.js";
import type { DigestEntry } from "../wire/messages.js";
import { isNodeId, parsePeerAddress } from "../wire/peer-address.js";

/** A difference of versions from which on entries are fetched over TCP: several packets' worth. */
const FETCH_VERSIONS = 64;
/** Intervals after which they are fetched over TCP because packets don't bring them. */
const FETCH_AFTER = 10;

/** What a digest has shown to be missing here. */
export interface Missing {
  /** Members of which the sender has newer entries. */
  readonly members: readonly Member[];
  /** Packets would take too long to bring them. */
  readonly fetch: boolean;
}

/** Takes in what a node says of others. */
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

/** Somebody has a version of this node that it has not had in this incarnation, or has it at another address, or gone. */
function receiveOwnEntry(core: GossipCore, { version, left, addr }: DigestEntry): void {
  const { local, cluster } = core;
  if (version > local.version) core.refuteVersion(version);
  else if (version > 0 && ((left && !local.left) || addr !== cluster.addr)) core.refuteOldIncarnation();
}

/** Takes a node for a candidate and asks it, or, if it is gone, asks it now and then. */
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
