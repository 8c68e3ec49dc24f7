// Answers requests over TCP: joins and leaves of other nodes. The answer is sent over the same connection, so the sender's address may
// differ from the one that it claims; but then nothing in the request is trusted until the sender has answered at that address.

import type { Member } from "../state/member.js";
import { MESSAGE_LEAVE, type NodeDelta, type Sender } from "../wire/messages.js";
import { RequestReader, encodeJoinAnswer, encodeLeaveAnswer } from "../wire/stream-codec.js";
import type { GossipCore } from "./core.js";
import { learnOf, receiveDigest } from "./digests.js";
import { identify } from "./sender.js";
import type { Answer } from "./transport.js";

/** Answers a request, in pieces; closes without an answer if it is malformed. */
export function handleRequest(core: GossipCore, bytes: Buffer, ip: string, answer: Answer): void {
  core.counters.connectionsInbound += 1;
  core.counters.streamBytesInbound += bytes.length;
  core.work.run(handle(core, bytes, ip), (error, pieces) => {
    if (error !== undefined) {
      core.counters.requestsRefused += 1;
      core.logger.debug("invalid request", { ip, error });
    }
    answer(pieces);
  });
}

function* handle(core: GossipCore, bytes: Buffer, ip: string): Generator<void, Iterator<Buffer>> {
  const request = new RequestReader(bytes);
  const own: Sender = { nodeId: core.local.id, addr: core.cluster.addr };
  return counted(
    core,
    yield* request.type === MESSAGE_LEAVE ? left(core, request, ip, own) : joined(core, request, ip, own),
  );
}

function* joined(
  core: GossipCore,
  request: RequestReader,
  ip: string,
  own: Sender,
): Generator<void, Iterator<Buffer>> {
  const { cluster } = core;
  const { from } = request;
  // The answer's id and address show the joiner that it dialled itself, or that its id is in use.
  if (from.nodeId === core.local.id) {
    if (from.addr !== cluster.addr) core.warnOfDuplicateId(from.addr);
    return encodeJoinAnswer(own, []);
  }
  const trusted = identify(core, from, ip, false);
  if (trusted !== undefined && core.transport.comesFrom(from.addr, ip)) core.validation.validate(from.addr);
  const joiner: Member | undefined =
    trusted ?? cluster.find(from.nodeId) ?? learnOf(core, { id: from.nodeId, addr: from.addr, left: false });
  for (const node of request.nodes()) {
    if (trusted !== undefined) applyOwn(core, from.nodeId, node);
    yield;
  }
  if (joiner !== undefined && joiner.status !== "reachable") core.probeMember(joiner);
  const versions = new Map<string, number>();
  for (const digest of request.digest()) {
    core.counters.digestEntriesInbound += digest.length;
    for (const { id, version } of digest) if (cluster.knows(id)) versions.set(id, version);
    if (trusted !== undefined) receiveDigest(core, digest);
    yield;
  }
  const sources = cluster.fullDeltaFor(versions, from.nodeId).map(({ id, addr, state, above }) => ({
    id,
    addr,
    entries: () => {
      const entries = state.above(above);
      core.counters.deltaEntriesOutbound += entries.length;
      return entries;
    },
  }));
  return encodeJoinAnswer(own, sources);
}

function* left(
  core: GossipCore,
  request: RequestReader,
  ip: string,
  own: Sender,
): Generator<void, Iterator<Buffer>> {
  const { from } = request;
  // A leave doesn't make a node known.
  const trusted =
    core.cluster.find(from.nodeId) !== undefined && identify(core, from, ip, false) !== undefined;
  for (const node of request.nodes()) {
    if (trusted) applyOwn(core, from.nodeId, node);
    yield;
  }
  return [encodeLeaveAnswer(own)].values();
}

/** Applies entries only if a node sent them about itself. */
function applyOwn(core: GossipCore, id: string, node: NodeDelta): void {
  core.counters.deltaEntriesInbound += node.entries.length;
  const member = node.id === id ? core.cluster.find(id) : undefined;
  if (member !== undefined) core.cluster.apply(member, node.entries);
}

function* counted(core: GossipCore, pieces: Iterator<Buffer>): Generator<Buffer> {
  for (let piece = pieces.next(); piece.done !== true; piece = pieces.next()) {
    core.counters.streamBytesOutbound += piece.value.length;
    yield piece.value;
  }
}
