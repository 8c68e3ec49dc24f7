// TCP messages as bytes. They may be many megabytes long, so they are read and written in pieces: the caller can yield to
// the event loop between two of them.

import { GossipError } from "./errors.js";
import {
  type DigestEntry,
  type Entry,
  MESSAGE_JOIN,
  MESSAGE_LEAVE,
  type NodeDelta,
  PROTOCOL_VERSION,
  type Sender,
} from "./messages.js";
import { MsgpackReader, fieldNames } from "./msgpack-reader.js";
import { MsgpackWriter } from "./msgpack-writer.js";
import { readPrefix } from "./packet-codec.js";
import {
  MIN_ENTRY_BYTES,
  SENDER_FIELDS,
  fixed,
  readDigestEntry,
  readEntry,
  readHead,
  readInt,
  writeDigestEntry,
  writeEntry,
  writeSender,
} from "./struct-codec.js";

/** Entries in one piece when reading: less than a millisecond of work. */
const PIECE_ENTRIES = 256;
/** Bytes in one piece when writing. */
const PIECE_BYTES = 64 * 1_024;
const MIN_NODE_BYTES = 6;

const NODE_FIELDS = fieldNames("id", "addr", "entries");
const OPEN_NODE = fixed(3, "id");
const ADDR = fixed(0, "addr");
const ENTRIES = fixed(0, "entries");

/** A node whose entries are requested only when they are encoded, so that they aren't all held at once. */
export interface NodeSource {
  readonly id: string;
  readonly addr: string;
  entries(): readonly Entry[];
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

/** Encodes the answer to a join, in pieces. An empty list is nil, as in Go. */
export function* encodeJoinAnswer(from: Sender, nodes: readonly NodeSource[]): Generator<Buffer> {
  const writer = new MsgpackWriter();
  writeSender(writer, from);
  if (nodes.length === 0) writer.nil();
  else writer.arrayHeader(nodes.length);
  for (const node of nodes) {
    const entries = node.entries();
    writeNodeHead(writer, node, entries.length);
    for (const entry of entries) {
      writeEntry(writer, entry);
      if (writer.length < PIECE_BYTES) continue;
      yield writer.copy();
      writer.reset();
    }
  }
  yield writer.copy();
}

export function encodeLeaveRequest(from: Sender, nodes: readonly NodeDelta[]): Buffer {
  const writer = new MsgpackWriter();
  writer.byte(MESSAGE_LEAVE);
  writer.byte(PROTOCOL_VERSION);
  writeSender(writer, from);
  writeNodes(writer, nodes);
  return writer.copy();
}

export function encodeLeaveAnswer(from: Sender): Buffer {
  const writer = new MsgpackWriter();
  writeSender(writer, from);
  return writer.copy();
}

function writeNodes(writer: MsgpackWriter, nodes: readonly NodeDelta[]): void {
  writer.arrayHeader(nodes.length);
  for (const node of nodes) {
    writeNodeHead(writer, node, node.entries.length);
    for (const entry of node.entries) writeEntry(writer, entry);
  }
}

function writeNodeHead(
  writer: MsgpackWriter,
  { id, addr }: { readonly id: string; readonly addr: string },
  count: number,
): void {
  writer.raw(OPEN_NODE);
  writer.string(id);
  writer.raw(ADDR);
  writer.string(addr);
  writer.raw(ENTRIES);
  // An empty list is encoded as nil, as Go does for a slice to which nothing was appended.
  if (count === 0) writer.nil();
  else writer.arrayHeader(count);
}

/** Reads a request: its head at once, then its nodes, then its digest. Every method throws GossipError for invalid bytes. */
export class RequestReader {
  readonly type: typeof MESSAGE_JOIN | typeof MESSAGE_LEAVE;
  readonly from: Sender;
  readonly #reader: MsgpackReader;

  constructor(bytes: Buffer) {
    const type = readPrefix(bytes);
    if (type !== MESSAGE_JOIN && type !== MESSAGE_LEAVE)
      throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", `unknown message type ${type}`);
    this.type = type;
    this.#reader = new MsgpackReader(bytes, 2);
    this.from = readHead(this.#reader, SENDER_FIELDS, readInt).from;
  }

  /** Entries of nodes, some at a time; a node with many entries is returned several times. */
  nodes(): Generator<NodeDelta> {
    return readNodes(this.#reader);
  }

  /** To be read after the nodes; only a join has one. */
  *digest(): Generator<readonly DigestEntry[]> {
    let piece: DigestEntry[] = [];
    for (let left = this.#reader.array(MIN_ENTRY_BYTES); left > 0; left--) {
      piece.push(readDigestEntry(this.#reader));
      if (piece.length < PIECE_ENTRIES) continue;
      yield piece;
      piece = [];
    }
    yield piece;
  }
}

/** Reads the answer to a join, as {@link RequestReader} reads a request. */
export class JoinAnswerReader {
  readonly from: Sender;
  readonly #reader: MsgpackReader;

  constructor(bytes: Buffer) {
    this.#reader = new MsgpackReader(bytes);
    this.from = readHead(this.#reader, SENDER_FIELDS, readInt).from;
  }

  nodes(): Generator<NodeDelta> {
    return readNodes(this.#reader);
  }
}

/** @throws GossipError if the bytes are not a leave's answer. */
export function decodeLeaveAnswer(bytes: Buffer): Sender {
  return readHead(new MsgpackReader(bytes), SENDER_FIELDS, readInt).from;
}

function* readNodes(reader: MsgpackReader): Generator<NodeDelta> {
  for (let left = reader.array(MIN_NODE_BYTES); left > 0; left--) {
    let id = "";
    let addr = "";
    let entriesAt: number | undefined;
    const struct = reader.struct();
    const fields = struct < 0 ? -1 - struct : struct;
    for (let i = 0; i < fields; i++) {
      const field = reader.field(struct, i, NODE_FIELDS);
      if (field === 0) id = reader.string();
      else if (field === 1) addr = reader.string();
      else if (field === 2) {
        entriesAt = reader.at;
        // All known encoders write the entries last; then they needn't be skipped to see which node they belong to.
        if (i < fields - 1) reader.skip();
      } else reader.skip();
    }
    if (id === "") throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", "a node without an id");
    const end = reader.at;
    if (entriesAt === undefined) yield { id, addr, entries: [] };
    else {
      reader.at = entriesAt;
      yield* readEntries(reader, id, addr);
      if (entriesAt !== end) reader.at = end;
    }
  }
}

function* readEntries(reader: MsgpackReader, id: string, addr: string): Generator<NodeDelta> {
  let entries: Entry[] = [];
  for (let more = reader.array(MIN_ENTRY_BYTES); more > 0; more--) {
    entries.push(readEntry(reader));
    if (entries.length < PIECE_ENTRIES) continue;
    yield { id, addr, entries };
    entries = [];
  }
  yield { id, addr, entries };
}
