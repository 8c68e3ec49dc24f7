// Answers requests over TCP: joins and leaves of other nodes. The answer goes back over the same connection, so the sender
// needn't be where it says it is; but it becomes no member until it has answered at its address.

import { decodeRequest, encodeJoinResponse, encodeLeaveResponse } from "../wire/codec.js";
import type { GossipCore } from "./core.js";
import { MESSAGE_LEAVE, type NodeDelta, type Sender, type StreamRequest } from "../wire/messages.js";
import { learnOf, receiveDigest } from "./digests.js";
import { identify } from "./sender.js";

/** The answer to a request; undefined if it is none. */
export function handleRequest(core: GossipCore, bytes: Buffer, ip: string): Buffer | undefined {
  core.counters.connectionsInbound += 1;
  core.counters.streamBytesInbound += bytes.length;
  let request: StreamRequest;
  try {
    request = decodeRequest(bytes);
  } catch (error) {
    core.logger.warn("invalid request", { ip, error });
    return undefined;
  }
  const own: Sender = { nodeId: core.local.id, addr: core.cluster.addr };
  const answer =
    request.type === MESSAGE_LEAVE ? left(core, request, ip, own) : joined(core, request, ip, own);
  core.counters.streamBytesOutbound += answer.length;
  return answer;
}

function joined(
  core: GossipCore,
  { from, nodes, digest }: Extract<StreamRequest, { digest: unknown }>,
  ip: string,
  own: Sender,
): Buffer {
  const { cluster } = core;
  // By its own id and address the joiner sees that it has dialled itself, or that its id is taken.
  if (from.nodeId === core.local.id) {
    if (from.addr !== cluster.addr) core.warnOfDouble(from.addr);
    return encodeJoinResponse(own, []);
  }
  core.counters.digestEntriesInbound += digest.length;
  const trusted = identify(core, from, ip, false);
  const joiner =
    trusted ?? cluster.find(from.nodeId) ?? learnOf(core, { id: from.nodeId, addr: from.addr, left: false });
  if (joiner !== undefined) {
    applyOwn(core, from.nodeId, nodes);
    if (joiner.status !== "reachable") core.probeMember(joiner);
  }
  if (trusted !== undefined) receiveDigest(core, digest);
  const deltas = cluster.fullDeltaFor(digest, from.nodeId);
  for (const { entries } of deltas) core.counters.deltaEntriesOutbound += entries.length;
  return encodeJoinResponse(own, deltas);
}

function left(
  core: GossipCore,
  { from, nodes }: Extract<StreamRequest, { type: typeof MESSAGE_LEAVE }>,
  ip: string,
  own: Sender,
): Buffer {
  // Nobody learns of a node by its leaving.
  if (core.cluster.find(from.nodeId) !== undefined && identify(core, from, ip, false) !== undefined)
    applyOwn(core, from.nodeId, nodes);
  return encodeLeaveResponse(own);
}

/** A node speaks for itself only. */
function applyOwn(core: GossipCore, id: string, nodes: readonly NodeDelta[]): void {
  for (const node of nodes) {
    core.counters.deltaEntriesInbound += node.entries.length;
    const member = node.id === id ? core.cluster.find(id) : undefined;
    if (member !== undefined) core.cluster.apply(member, node.entries);
  }
}
