// The header fields of a message as JSON text for the access log: `{"User-Agent":["curl"],"Via":["a","b"]}`. Runs for
// every request and response: bytes are copied from the head to where the line is gathered, no string is made.

import type { HeaderFilterConfig } from "../config/access-log.js";
import {
  FIELD_STRIDE,
  LINE_START,
  type MessageHead,
  NAME_END,
  VALUE_END,
  VALUE_START,
} from "../http1/head.js";
import { ByteText } from "./byte-text.js";
import { FieldName, FieldNameTable, canonicalName } from "./field-name-table.js";
import { REDACTED } from "./redact.js";

/** Fields whose values are credentials. */
const SECRET_FIELDS: ReadonlySet<string> = new Set([
  "Authorization",
  "Proxy-Authorization",
  "X-Piko-Authorization",
  "Cookie",
  "Set-Cookie",
]);
const REDACTED_BYTES: Uint8Array = Buffer.from(REDACTED);

const NO_FIELDS: Uint8Array = Buffer.from("{}");
const OPENING: Uint8Array = Buffer.from("{");
const NEXT: Uint8Array = Buffer.from(",");
const NEXT_VALUE: Uint8Array = Buffer.from('","');
const VALUES_END: Uint8Array = Buffer.from('"]');
const CLOSING: Uint8Array = Buffer.from("}");

/** Fields up to this size are compared with those of the head before, byte by byte up to the second size. */
const MAX_REMEMBERED_BYTES = 2_048;
const MAX_LOOP_BYTES = 64;

/** Formats the fields of heads, with one filter. */
export class HeaderFields {
  /** The fields of the last head as they came, and as text. */
  readonly #last: Buffer = Buffer.allocUnsafeSlow(MAX_REMEMBERED_BYTES);
  #lastLength = 0;
  readonly #lastStore: ByteText = new ByteText(MAX_REMEMBERED_BYTES);
  #lastText: Uint8Array = NO_FIELDS;
  readonly #names: FieldNameTable;
  #heads = 0;

  constructor(filter: HeaderFilterConfig) {
    const allow = new Set(filter.allowList.map(canonicalName));
    const block = new Set([...filter.blockList.map(canonicalName), "Host"]);
    this.#names = new FieldNameTable((name) => {
      const shown = allow.size > 0 ? allow.has(name) : !block.has(name);
      return new FieldName(name, shown, SECRET_FIELDS.has(name));
    });
  }

  /** Adds the JSON object of a head's fields, in the order sent. Host is left out: the line has it. */
  format(head: MessageHead, text: ByteText): void {
    if (head.fieldCount === 0) {
      text.add(NO_FIELDS);
      return;
    }
    // Programs send the same fields over and over: then comparing them costs a tenth of formatting them.
    if (this.#isLast(head)) {
      text.add(this.#lastText);
      return;
    }
    const start = text.length;
    if (!this.#addEach(head, text)) {
      text.length = start;
      this.#addGrouped(head, text);
    }
    this.#remember(head, text.bytes.subarray(start, text.length));
  }

  #isLast(head: MessageHead): boolean {
    const { buffer, end } = head;
    const start = head.fields[LINE_START] as number;
    const last = this.#last;
    const length = end - start;
    if (length !== this.#lastLength) return false;
    if (length > MAX_LOOP_BYTES) return buffer.compare(last, 0, length, start, end) === 0;
    for (let i = 0; i < length; i++) if (buffer[start + i] !== last[i]) return false;
    return true;
  }

  #remember(head: MessageHead, text: Uint8Array): void {
    const start = head.fields[LINE_START] as number;
    this.#lastLength = head.end - start;
    if (this.#lastLength > MAX_REMEMBERED_BYTES) {
      this.#lastLength = 0;
      return;
    }
    head.buffer.copy(this.#last, 0, start, head.end);
    this.#lastStore.length = 0;
    this.#lastStore.add(text);
    this.#lastText = this.#lastStore.bytes.subarray(0, text.length);
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
