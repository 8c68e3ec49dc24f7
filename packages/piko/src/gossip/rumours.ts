// What others' digests say: of nodes that are unknown here, of newer entries, of this node itself. Called for each digest,
// whether it came in a packet or over TCP.

import type { GossipCore } from "./core.js";
import type { Member } from "./member.js";
import type { DigestEntry } from "./messages.js";
import { isNodeId, parsePeerAddress } from "./peer-address.js";

/** A difference of versions from which on entries are fetched over TCP: several packets' worth. */
const FETCH_VERSIONS = 64;
/** Intervals after which they are fetched over TCP because packets don't bring them. */
const FETCH_AFTER = 10;

/**
 * Takes in what a node says of others. Returns whether it should be asked over TCP, because packets would take too long to
 * bring what is missing here.
 */
export function hearRumours(core: GossipCore, digest: readonly DigestEntry[]): boolean {
  let fetch = false;
  for (const entry of digest) {
    if (entry.id === core.local.id) {
      if (entry.version > core.local.version) core.outdo(entry.version);
      continue;
    }
    const member = core.cluster.find(entry.id);
    if (member === undefined) hearOfStranger(core, entry);
    else if (member.status === "reachable") fetch = isBehind(core, member, entry.version) || fetch;
    else if (!entry.left && parsePeerAddress(entry.addr) !== undefined) core.probeMember(member, entry.addr);
  }
  return fetch;
}

/** Takes a node for a candidate and asks it, or, if it is gone, asks it now and then. */
export function hearOfStranger(
  core: GossipCore,
  { id, addr, left }: Omit<DigestEntry, "version">,
): Member | undefined {
  if (left || !isNodeId(id) || parsePeerAddress(addr) === undefined) return undefined;
  const { cluster } = core;
  if (cluster.graveyard.has(id)) {
    if (cluster.graveyard.rumour(id, addr, core.now())) core.probe(id, addr, 0);
    return undefined;
  }
  const member = cluster.learn(id, addr);
  if (member !== undefined) core.probeMember(member);
  return member;
}

function isBehind(core: GossipCore, member: Member, version: number): boolean {
  const known = member.state.version;
  if (version <= known) return false;
  member.claimed = Math.max(member.claimed, version);
  const now = core.now();
  member.behindSince ??= now;
  return version - known > FETCH_VERSIONS || now - member.behindSince > FETCH_AFTER * core.intervalMs;
}
