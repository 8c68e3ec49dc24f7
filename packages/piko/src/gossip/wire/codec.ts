// The messages of gossip as bytes, identical to what Go Piko writes, and read as tolerantly as Go reads. Called by the
// packet builder and by the handlers of packets and streams.

import { GossipError } from "./errors.js";
import {
  type DigestEntry,
  type Entry,
  type JoinResponse,
  MESSAGE_DELTA,
  MESSAGE_DIGEST,
  MESSAGE_JOIN,
  MESSAGE_LEAVE,
  type NodeDelta,
  PROTOCOL_VERSION,
  type Packet,
  type Sender,
  type StreamRequest,
} from "./messages.js";
import { type FieldNames, MsgpackReader, TRUNCATED, fieldNames } from "./msgpack-reader.js";
import { MsgpackWriter } from "./msgpack-writer.js";

const SENDER_FIELDS = fieldNames("node_id", "addr");
const DIGEST_HEADER_FIELDS = fieldNames("node_id", "addr", "request");
const DELTA_HEADER_FIELDS = fieldNames("node_id", "addr", "entries");
const DIGEST_ENTRY_FIELDS = fieldNames("id", "addr", "version", "left");
const NODE_DELTA_FIELDS = fieldNames("id", "addr", "entries");
const ENTRY_FIELDS = fieldNames("key", "value", "version", "internal", "deleted");

/** The smallest entry with a key: a map of one field with a name of three letters and a value of one. */
const LEAST_ENTRY_BYTES = 7;
const LEAST_NODE_BYTES = 6;

// A struct's fixed bytes: the map's header and the names, each before the value that follows it.
const OPEN_NODE_ID = fixed(3, "node_id");
const OPEN_SENDER = fixed(2, "node_id");
const OPEN_DIGEST_ENTRY = fixed(4, "id");
const OPEN_NODE = fixed(3, "id");
const OPEN_ENTRY = fixed(5, "key");
const ADDR = fixed(0, "addr");
const REQUEST = fixed(0, "request");
const ENTRIES = fixed(0, "entries");
const VERSION = fixed(0, "version");
const LEFT = fixed(0, "left");
const VALUE = fixed(0, "value");
const INTERNAL = fixed(0, "internal");
const DELETED = fixed(0, "deleted");

function fixed(fields: number, name: string): Buffer {
  const writer = new MsgpackWriter(16);
  if (fields > 0) writer.byte(0x80 | fields);
  writer.string(name);
  return writer.copy();
}

/** The head of a digest packet; entries follow. */
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

export function writeDigestEntry(writer: MsgpackWriter, entry: DigestEntry): void {
  writer.raw(OPEN_DIGEST_ENTRY);
  writer.string(entry.id);
  writer.raw(ADDR);
  writer.string(entry.addr);
  writer.raw(VERSION);
  writer.uint(entry.version);
  writer.raw(LEFT);
  writer.bool(entry.left);
}

/** The head of a delta packet; nodes follow. */
export function writeDeltaHead(writer: MsgpackWriter, from: Sender): void {
  writer.byte(MESSAGE_DELTA);
  writer.byte(PROTOCOL_VERSION);
  writePacketNode(writer, from.nodeId, from.addr, 0);
}

/** The head of one node's entries in a delta packet; `count` entries follow. */
export function writePacketNode(writer: MsgpackWriter, id: string, addr: string, count: number): void {
  writer.raw(OPEN_NODE_ID);
  writer.string(id);
  writer.raw(ADDR);
  writer.string(addr);
  writer.raw(ENTRIES);
  writer.int(count);
}

export function writeEntry(writer: MsgpackWriter, entry: Entry): void {
  writer.raw(OPEN_ENTRY);
  writer.string(entry.key);
  writer.raw(VALUE);
  writer.string(entry.value);
  writer.raw(VERSION);
  writer.uint(entry.version);
  writer.raw(INTERNAL);
  writer.bool(entry.internal);
  writer.raw(DELETED);
  writer.bool(entry.deleted);
}

export function encodeJoinRequest(
  from: Sender,
  nodes: readonly NodeDelta[],
  digest: readonly DigestEntry[],
): Buffer {
  const writer = new MsgpackWriter();
  writer.byte(MESSAGE_JOIN);
  writer.byte(PROTOCOL_VERSION);
  writeSender(writer, from);
  writeNodes(writer, nodes);
  writer.arrayHeader(digest.length);
  for (const entry of digest) writeDigestEntry(writer, entry);
  return writer.copy();
}

/** Nothing to send is nil, as in Go. */
export function encodeJoinResponse(from: Sender, nodes: readonly NodeDelta[]): Buffer {
  const writer = new MsgpackWriter();
  writeSender(writer, from);
  if (nodes.length === 0) writer.nil();
  else writeNodes(writer, nodes);
  return writer.copy();
}

export function encodeLeaveRequest(from: Sender, nodes: readonly NodeDelta[]): Buffer {
  const writer = new MsgpackWriter();
  writer.byte(MESSAGE_LEAVE);
  writer.byte(PROTOCOL_VERSION);
  writeSender(writer, from);
  writeNodes(writer, nodes);
  return writer.copy();
}

export function encodeLeaveResponse(from: Sender): Buffer {
  const writer = new MsgpackWriter();
  writeSender(writer, from);
  return writer.copy();
}

function writeSender(writer: MsgpackWriter, from: Sender): void {
  writer.raw(OPEN_SENDER);
  writer.string(from.nodeId);
  writer.raw(ADDR);
  writer.string(from.addr);
}

function writeNodes(writer: MsgpackWriter, nodes: readonly NodeDelta[]): void {
  writer.arrayHeader(nodes.length);
  for (const node of nodes) {
    writer.raw(OPEN_NODE);
    writer.string(node.id);
    writer.raw(ADDR);
    writer.string(node.addr);
    writer.raw(ENTRIES);
    // No entries are nil, as a Go slice that nothing was added to.
    if (node.entries.length === 0) writer.nil();
    else writer.arrayHeader(node.entries.length);
    for (const entry of node.entries) writeEntry(writer, entry);
  }
}

/**
 * Decodes a datagram. One that ends in the middle of a value after its head is valid: it was cut at the size of a packet,
 * and what is whole counts.
 *
 * @throws GossipError if anything else is wrong; then none of it counts.
 */
export function decodePacket(bytes: Buffer): Packet {
  const type = prefix(bytes);
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

/** @throws GossipError if the bytes are not exactly one request. */
export function decodeRequest(bytes: Buffer): StreamRequest {
  const type = prefix(bytes);
  if (type !== MESSAGE_JOIN && type !== MESSAGE_LEAVE)
    throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", `unknown message type ${type}`);
  const reader = new MsgpackReader(bytes, 2);
  const { from } = readHead(reader, SENDER_FIELDS, readInt);
  const nodes = readNodes(reader);
  if (type === MESSAGE_LEAVE) return { type, from, nodes };
  const digest: DigestEntry[] = [];
  for (let left = reader.array(LEAST_ENTRY_BYTES); left > 0; left--) digest.push(readDigestEntry(reader));
  return { type, from, nodes, digest };
}

/** @throws GossipError if the bytes are not a join's answer. */
export function decodeJoinResponse(bytes: Buffer): JoinResponse {
  const reader = new MsgpackReader(bytes);
  const { from } = readHead(reader, SENDER_FIELDS, readInt);
  return { from, nodes: readNodes(reader) };
}

/** @throws GossipError if the bytes are not a leave's answer. */
export function decodeLeaveResponse(bytes: Buffer): Sender {
  return readHead(new MsgpackReader(bytes), SENDER_FIELDS, readInt).from;
}

function prefix(bytes: Buffer): number {
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

/** Reads a sender, and the third field if the names have one. */
function readHead(
  reader: MsgpackReader,
  names: FieldNames,
  readLast: (reader: MsgpackReader) => number,
): { from: Sender; last: number } {
  let nodeId = "";
  let addr = "";
  let last = 0;
  const struct = reader.struct();
  const fields = struct < 0 ? -1 - struct : struct;
  for (let i = 0; i < fields; i++) {
    const field = reader.field(struct, i, names);
    if (field === 0) nodeId = reader.string();
    else if (field === 1) addr = reader.string();
    else if (field === 2) last = readLast(reader);
    else reader.skip();
  }
  if (nodeId === "") throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", "a node without an id");
  return { from: { nodeId, addr }, last };
}

function readBool(reader: MsgpackReader): number {
  return reader.bool() ? 1 : 0;
}

function readInt(reader: MsgpackReader): number {
  return reader.int();
}

function readDigestEntry(reader: MsgpackReader): DigestEntry {
  let id = "";
  let addr = "";
  let version = 0;
  let left = false;
  const struct = reader.struct();
  const fields = struct < 0 ? -1 - struct : struct;
  for (let i = 0; i < fields; i++) {
    const field = reader.field(struct, i, DIGEST_ENTRY_FIELDS);
    if (field === 0) id = reader.string();
    else if (field === 1) addr = reader.string();
    else if (field === 2) version = reader.uint();
    else if (field === 3) left = reader.bool();
    else reader.skip();
  }
  if (id === "") throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", "a node without an id");
  return { id, addr, version, left };
}

function readEntry(reader: MsgpackReader): Entry {
  let key = "";
  let value = "";
  let version = 0;
  let internal = false;
  let deleted = false;
  const struct = reader.struct();
  const fields = struct < 0 ? -1 - struct : struct;
  for (let i = 0; i < fields; i++) {
    const field = reader.field(struct, i, ENTRY_FIELDS);
    if (field === 0) key = reader.string();
    else if (field === 1) value = reader.string();
    else if (field === 2) version = reader.uint();
    else if (field === 3) internal = reader.bool();
    else if (field === 4) deleted = reader.bool();
    else reader.skip();
  }
  // Besides being meaningless, entries of no bytes would let a short message claim much memory.
  if (key === "") throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", "an entry without a key");
  return { key, value, version, internal, deleted };
}

function readNodes(reader: MsgpackReader): NodeDelta[] {
  const nodes: NodeDelta[] = [];
  for (let left = reader.array(LEAST_NODE_BYTES); left > 0; left--) {
    let id = "";
    let addr = "";
    const entries: Entry[] = [];
    const struct = reader.struct();
    const fields = struct < 0 ? -1 - struct : struct;
    for (let i = 0; i < fields; i++) {
      const field = reader.field(struct, i, NODE_DELTA_FIELDS);
      if (field === 0) id = reader.string();
      else if (field === 1) addr = reader.string();
      else if (field === 2) {
        for (let more = reader.array(LEAST_ENTRY_BYTES); more > 0; more--) entries.push(readEntry(reader));
      } else reader.skip();
    }
    if (id === "") throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", "a node without an id");
    nodes.push({ id, addr, entries });
  }
  return nodes;
}
