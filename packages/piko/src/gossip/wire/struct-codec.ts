// The structs of gossip's messages, written as Go Piko writes them and read as tolerantly as Go reads. Used by the codecs of
// packets and of streams.

import { GossipError } from "./errors.js";
import type { DigestEntry, Entry, Sender } from "./messages.js";
import { type FieldNames, type MsgpackReader, fieldNames } from "./msgpack-reader.js";
import { MsgpackWriter } from "./msgpack-writer.js";

export const SENDER_FIELDS: FieldNames = fieldNames("node_id", "addr");
const DIGEST_ENTRY_FIELDS = fieldNames("id", "addr", "version", "left");
const ENTRY_FIELDS = fieldNames("key", "value", "version", "internal", "deleted");

/** Size of the smallest entry with a key: a map of one field with a name of three letters and a value of one. */
export const MIN_ENTRY_BYTES = 7;

// The fixed bytes of structs: the map's header and the field names, each before the value that follows it.
const OPEN_SENDER = fixed(2, "node_id");
const OPEN_DIGEST_ENTRY = fixed(4, "id");
const OPEN_ENTRY = fixed(5, "key");
const ADDR = fixed(0, "addr");
const VERSION = fixed(0, "version");
const LEFT = fixed(0, "left");
const VALUE = fixed(0, "value");
const INTERNAL = fixed(0, "internal");
const DELETED = fixed(0, "deleted");

/** Encodes a map's header, if it has fields, and the name of one field. */
export function fixed(fields: number, name: string): Buffer {
  const writer = new MsgpackWriter(16);
  if (fields > 0) writer.byte(0x80 | fields);
  writer.string(name);
  return writer.copy();
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

export function writeSender(writer: MsgpackWriter, from: Sender): void {
  writer.raw(OPEN_SENDER);
  writer.string(from.nodeId);
  writer.raw(ADDR);
  writer.string(from.addr);
}

/** Reads a sender, and the third field if there is one in the names. */
export function readHead(
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

export function readBool(reader: MsgpackReader): number {
  return reader.bool() ? 1 : 0;
}

export function readInt(reader: MsgpackReader): number {
  return reader.int();
}

export function readDigestEntry(reader: MsgpackReader): DigestEntry {
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

export function readEntry(reader: MsgpackReader): Entry {
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
  // Such entries are meaningless, and entries of no bytes would let a short message claim much memory.
  if (key === "") throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", "an entry without a key");
  return { key, value, version, internal, deleted };
}
