// The header fields of a message as a member of a log line: `"request_headers":{"User-Agent":["curl"],"Via":["a","b"]}`.
// Runs for every request and response: bytes are copied from the head to where the line is gathered, no string is made.

import {
  FIELD_STRIDE,
  LINE_START,
  type MessageHead,
  NAME_END,
  VALUE_END,
  VALUE_START,
} from "../http/head.js";
import { ByteText } from "./byte-text.js";
import { FieldName, FieldNameTable } from "./field-name-table.js";
import { REDACTED } from "./redact.js";
import { RememberedBytes } from "./remembered-bytes.js";
import type { Showing } from "./shown-fields.js";

const REDACTED_BYTES: Uint8Array = Buffer.from(REDACTED);

const NO_FIELDS: Uint8Array = Buffer.from("{}");
const OPENING: Uint8Array = Buffer.from("{");
const NEXT: Uint8Array = Buffer.from(",");
const NEXT_VALUE: Uint8Array = Buffer.from('","');
const VALUES_END: Uint8Array = Buffer.from('"]');
const CLOSING: Uint8Array = Buffer.from("}");

/** Fields up to this size are compared with those of the head before. */
const MAX_REMEMBERED_BYTES = 2_048;

/** Formats the fields of heads. */
export class HeaderFields {
  /** The member without fields. */
  readonly none: Uint8Array;
  readonly #label: Uint8Array;
  /** The fields of the last head as they came, and as text. */
  readonly #last: RememberedBytes = new RememberedBytes(MAX_REMEMBERED_BYTES);
  readonly #lastStore: ByteText = new ByteText(MAX_REMEMBERED_BYTES);
  #lastText: Uint8Array = NO_FIELDS;
  /** Which fields these are, of all that were remembered; 0: none. */
  #version = 0;
  #versions = 0;
  readonly #names: FieldNameTable;
  #heads = 0;

  /**
   * @param member its name
   * @param showingOf how fields are shown, by their canonical names
   */
  constructor(member: string, showingOf: (canonical: string) => Showing) {
    this.#label = Buffer.from(`,"${member}":`);
    this.none = Buffer.concat([this.#label, NO_FIELDS]);
    this.#names = new FieldNameTable((name) => {
      const how = showingOf(name);
      return new FieldName(name, how !== "not", how === "redacted");
    });
  }

  /** Whether the fields are those that `format` has added with this result before, so that the same text would come. */
  repeats(head: MessageHead, version: number): boolean {
    if (version !== this.#version || head.fieldCount === 0) return false;
    return this.#last.equal(head.buffer, head.fields[LINE_START] as number, head.end);
  }

  /**
   * Adds the member for a head's fields that are shown, in the order sent. Returns a number for `repeats`; 0 if these fields
   * aren't remembered.
   */
  format(head: MessageHead, text: ByteText): number {
    const { buffer, end, fieldCount } = head;
    if (fieldCount === 0) {
      text.add(this.none);
      return 0;
    }
    const from = head.fields[LINE_START] as number;
    // Programs send the same fields over and over: then comparing them costs a tenth of formatting them.
    if (this.#last.equal(buffer, from, end)) {
      text.add(this.#lastText);
      return this.#version;
    }
    const start = text.length;
    text.add(this.#label);
    const fieldsStart = text.length;
    if (!this.#addEach(head, text)) {
      text.length = fieldsStart;
      this.#addGrouped(head, text);
    }
    // Whoever has the text of the fields before must not take it for that of these.
    this.#versions++;
    this.#version = 0;
    if (!this.#last.set(buffer, from, end)) return 0;
    this.#version = this.#versions;
    this.#lastStore.length = 0;
    this.#lastStore.add(text.bytes.subarray(start, text.length));
    this.#lastText = this.#lastStore.bytes.subarray(0, this.#lastStore.length);
    return this.#version;
  }

  /** Adds fields of which no two have the same name; false if there are such. */
  #addEach(head: MessageHead, text: ByteText): boolean {
    this.#names.trim();
    const { fields, buffer } = head;
    const end = head.fieldCount * FIELD_STRIDE;
    this.#heads += 1;
    let first = true;
    for (let at = 0; at < end; at += FIELD_STRIDE) {
      const name = this.#nameAt(head, at);
      if (!name.shown) continue;
      if (name.seenIn === this.#heads) return false;
      name.seenIn = this.#heads;
      text.add(first ? OPENING : NEXT);
      first = false;
      text.add(name.opening);
      this.#addValue(buffer, name, fields, at, text);
      text.add(VALUES_END);
    }
    text.add(first ? NO_FIELDS : CLOSING);
    return true;
  }

  /** Adds fields of which some have the same name: one member with several values. */
  #addGrouped(head: MessageHead, text: ByteText): void {
    const { fields, buffer, fieldCount } = head;
    const records = new Map<FieldName, number[]>();
    for (let at = 0; at < fieldCount * FIELD_STRIDE; at += FIELD_STRIDE) {
      const name = this.#nameAt(head, at);
      if (!name.shown) continue;
      const before = records.get(name);
      if (before === undefined) records.set(name, [at]);
      else before.push(at);
    }
    let opening = OPENING;
    for (const [name, all] of records) {
      text.add(opening);
      opening = NEXT;
      text.add(name.opening);
      for (const [index, at] of all.entries()) {
        if (index > 0) text.add(NEXT_VALUE);
        this.#addValue(buffer, name, fields, at, text);
      }
      text.add(VALUES_END);
    }
    text.add(CLOSING);
  }

  #nameAt({ buffer, fields }: MessageHead, at: number): FieldName {
    return this.#names.get(buffer, fields[at + LINE_START] as number, fields[at + NAME_END] as number);
  }

  #addValue(buffer: Buffer, name: FieldName, fields: Int32Array, at: number, text: ByteText): void {
    if (name.secret) text.add(REDACTED_BYTES);
    else text.addQuotable(buffer, fields[at + VALUE_START] as number, fields[at + VALUE_END] as number);
  }
}
