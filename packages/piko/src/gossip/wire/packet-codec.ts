// Datagrams as bytes, identical to what Go Piko writes. Called by the packet builder and by the handler of packets.

import { GossipError } from "./errors.js";
import {
  type DigestEntry,
  type Entry,
  MESSAGE_DELTA,
  MESSAGE_DIGEST,
  type NodeDelta,
  PROTOCOL_VERSION,
  type Packet,
  type Sender,
} from "./messages.js";
import { MsgpackReader, TRUNCATED, fieldNames } from "./msgpack-reader.js";
import type { MsgpackWriter } from "./msgpack-writer.js";
import { fixed, readBool, readDigestEntry, readEntry, readHead, readInt } from "./struct-codec.js";

const DIGEST_HEADER_FIELDS = fieldNames("node_id", "addr", "request");
const DELTA_HEADER_FIELDS = fieldNames("node_id", "addr", "entries");
const OPEN_NODE_ID = fixed(3, "node_id");
const ADDR = fixed(0, "addr");
const REQUEST = fixed(0, "request");
const ENTRIES = fixed(0, "entries");

/** Writes the head of a digest packet; entries follow. */
export function writeDigestHead(writer: MsgpackWriter, from: Sender, request: boolean): void {
  writer.byte(MESSAGE_DIGEST);
  writer.byte(PROTOCOL_VERSION);
  writer.raw(OPEN_NODE_ID);
  writer.string(from.nodeId);
  writer.raw(ADDR);
  writer.string(from.addr);
  writer.raw(REQUEST);
  writer.bool(request);
}

/** Writes the head of a delta packet; nodes follow. */
export function writeDeltaHead(writer: MsgpackWriter, from: Sender): void {
  writer.byte(MESSAGE_DELTA);
  writer.byte(PROTOCOL_VERSION);
  writePacketNode(writer, from.nodeId, from.addr, 0);
}

/** Writes the head of one node's entries in a delta packet; `count` entries follow. */
export function writePacketNode(writer: MsgpackWriter, id: string, addr: string, count: number): void {
  writer.raw(OPEN_NODE_ID);
  writer.string(id);
  writer.raw(ADDR);
  writer.string(addr);
  writer.raw(ENTRIES);
  writer.int(count);
}

/**
 * Decodes a datagram. One that ends in the middle of a value after its head is valid: it was truncated at the packet size, and
 * its complete values are used.
 *
 * @throws GossipError if anything else is wrong; then nothing of it is used.
 */
export function decodePacket(bytes: Buffer): Packet {
  const type = readPrefix(bytes);
  const reader = new MsgpackReader(bytes, 2);
  if (type === MESSAGE_DIGEST) {
    const { from, last } = readHead(reader, DIGEST_HEADER_FIELDS, readBool);
    const entries: DigestEntry[] = [];
    untilCut(reader, () => entries.push(readDigestEntry(reader)));
    return { type, from, request: last === 1, entries };
  }
  if (type !== MESSAGE_DELTA)
    throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", `unknown message type ${type}`);
  const { from } = readHead(reader, DELTA_HEADER_FIELDS, readInt);
  const nodes: NodeDelta[] = [];
  untilCut(reader, () => {
    const head = readHead(reader, DELTA_HEADER_FIELDS, readInt);
    const entries: Entry[] = [];
    nodes.push({ id: head.from.nodeId, addr: head.from.addr, entries });
    for (let left = head.last; left > 0; left--) entries.push(readEntry(reader));
  });
  return { type, from, nodes };
}

/**
 * Reads the type of a datagram or a request.
 *
 * @throws GossipError for another version of the protocol.
 */
export function readPrefix(bytes: Buffer): number {
  const [type, version] = bytes;
  if (type === undefined || version === undefined) throw TRUNCATED;
  if (version !== PROTOCOL_VERSION)
    throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", `unknown protocol version ${version}`);
  return type;
}

function untilCut(reader: MsgpackReader, read: () => void): void {
  try {
    while (!reader.done) read();
  } catch (error) {
    if (error !== TRUNCATED) throw error;
  }
}
