// The header fields of a message as a member of a log line: `"request_headers":{"User-Agent":["curl"],"Via":["a","b"]}`.
// Runs for every request and response: it copies bytes from the head to the log line, without making strings.

import { FIELD_TRACEPARENT } from "../http/field-names.js";
import {
  FIELD_ID,
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

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Up to this size, the fields of a head are compared with those of the previous one. */
const MAX_REMEMBERED_BYTES = 2_048;

/** Formats the fields of heads. */
export class HeaderFields {
  /** The member if there are no fields. */
  readonly none: Uint8Array;
  readonly #label: Uint8Array;
  /** The fields of the last head, as received and as text. */
  readonly #last: RememberedBytes = new RememberedBytes(MAX_REMEMBERED_BYTES);
  readonly #lastStore: ByteText = new ByteText(MAX_REMEMBERED_BYTES);
  #lastText: Uint8Array = NO_FIELDS;
  /** Identifies the remembered fields; 0 if there are none. */
  #version = 0;
  #versions = 0;
  /** Offset of X-Request-Id's value in the fields; -1 if there is none. The value is different in each request. */
  #idStart = -1;
  #idEnd = -1;
  /** Its offset in the text; -1 if it isn't shown. */
  #idTextStart = -1;
  // The same for the value of Traceparent, if it is the next field, as in requests from nodes that trace.
  #traceStart = -1;
  #traceEnd = -1;
  #traceTextStart = -1;
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

  /**
   * Whether the fields are those for which `format` returned `version` when it added them at `start` of `text`, so that
   * formatting them would give the same text. If only the request's id and trace differ, they are replaced in `text`.
   */
  repeats(head: MessageHead, version: number, text: ByteText, start: number): boolean {
    return version === this.#version && this.#matchesLast(head) && this.#putId(head, text, start);
  }

  /**
   * Adds the member with those fields of a head that are shown, in the order in which they were sent. Returns a version for
   * `repeats`; 0 if the fields aren't remembered.
   */
  format(head: MessageHead, text: ByteText): number {
    const { buffer, end, fieldCount } = head;
    if (fieldCount === 0) {
      text.add(this.none);
      return 0;
    }
    const start = text.length;
    // Programs send the same fields again and again. Comparing them costs a tenth of formatting them.
    if (this.#matchesLast(head)) {
      text.add(this.#lastText);
      if (this.#putId(head, text, start)) return this.#version;
      text.length = start;
    }
    text.add(this.#label);
    const fieldsStart = text.length;
    this.#forgetId();
    if (!this.#addEach(head, text, start)) {
      text.length = fieldsStart;
      this.#forgetId();
      this.#addGrouped(head, text);
    }
    // Texts that contain the previous fields must not match these.
    this.#versions++;
    this.#version = 0;
    if (!this.#last.set(buffer, head.fields[LINE_START] as number, end)) return 0;
    this.#version = this.#versions;
    this.#lastStore.length = 0;
    this.#lastStore.add(text.bytes.subarray(start, text.length));
    this.#lastText = this.#lastStore.bytes.subarray(0, this.#lastStore.length);
    return this.#version;
  }

  /** Whether the fields are the remembered ones, except perhaps for the request's id and trace. */
  #matchesLast(head: MessageHead): boolean {
    const { buffer, end, fieldCount, fields, requestIdField } = head;
    if (fieldCount === 0) return false;
    const from = fields[LINE_START] as number;
    if (this.#idStart < 0) return this.#last.equal(buffer, from, end);
    if (requestIdField < 0) return false;
    const record = requestIdField * FIELD_STRIDE;
    const idStart = fields[record + VALUE_START] as number;
    const idEnd = fields[record + VALUE_END] as number;
    if (idStart - from !== this.#idStart || idEnd - from !== this.#idEnd) return false;
    if (this.#traceStart < 0) return this.#last.equalAround(buffer, from, end, idStart, idEnd);
    const next = record + FIELD_STRIDE;
    if (next === fieldCount * FIELD_STRIDE || fields[next + FIELD_ID] !== FIELD_TRACEPARENT) return false;
    const traceEnd = fields[next + VALUE_END] as number;
    if ((fields[next + VALUE_START] as number) - from !== this.#traceStart) return false;
    if (traceEnd - from !== this.#traceEnd) return false;
    return this.#last.equalAround(buffer, from, end, idStart, traceEnd);
  }

  #forgetId(): void {
    this.#idStart = -1;
    this.#traceStart = -1;
  }

  /** Remembers where the value of the request's id is, in the fields and in their text. */
  #keepId({ fields, requestIdField }: MessageHead, textStart: number): void {
    const from = fields[LINE_START] as number;
    const record = requestIdField * FIELD_STRIDE;
    this.#idStart = (fields[record + VALUE_START] as number) - from;
    this.#idEnd = (fields[record + VALUE_END] as number) - from;
    this.#idTextStart = textStart;
  }

  /** The same for the value of the trace's field, which is at `record`. */
  #keepTrace({ fields }: MessageHead, record: number, textStart: number): void {
    const from = fields[LINE_START] as number;
    this.#traceStart = (fields[record + VALUE_START] as number) - from;
    this.#traceEnd = (fields[record + VALUE_END] as number) - from;
    this.#traceTextStart = textStart;
  }

  /** Puts the request's id and trace in the places of the last ones in their text; false if they would have to be escaped. */
  #putId(head: MessageHead, text: ByteText, start: number): boolean {
    if (this.#idStart < 0) return true;
    return (
      putValue(head, this.#idStart, this.#idEnd, text, start, this.#idTextStart) &&
      (this.#traceStart < 0 ||
        putValue(head, this.#traceStart, this.#traceEnd, text, start, this.#traceTextStart))
    );
  }

  /** Adds the fields if all names differ; returns false if they don't. `start` is where the member starts in `text`. */
  #addEach(head: MessageHead, text: ByteText, start: number): boolean {
    this.#names.trim();
    const { fields, buffer } = head;
    const end = head.fieldCount * FIELD_STRIDE;
    const idAt = head.requestIdField * FIELD_STRIDE;
    this.#heads += 1;
    let first = true;
    for (let at = 0; at < end; at += FIELD_STRIDE) {
      const name = this.#nameAt(head, at);
      if (!name.shown) {
        if (at === idAt) this.#keepId(head, -1);
        else if (this.#isTrace(head, at, idAt)) this.#keepTrace(head, at, -1);
        continue;
      }
      if (name.seenIn === this.#heads) return false;
      name.seenIn = this.#heads;
      text.add(first ? OPENING : NEXT);
      first = false;
      text.add(name.opening);
      const valueStart = text.length;
      this.#addValue(buffer, name, fields, at, text);
      // A value that was escaped or redacted can't be replaced byte by byte.
      const isUnmodified =
        text.length - valueStart ===
        (fields[at + VALUE_END] as number) - (fields[at + VALUE_START] as number);
      if (isUnmodified && !name.secret) {
        if (at === idAt) this.#keepId(head, valueStart - start);
        else if (this.#isTrace(head, at, idAt)) this.#keepTrace(head, at, valueStart - start);
      }
      text.add(VALUES_END);
    }
    text.add(first ? NO_FIELDS : CLOSING);
    return true;
  }

  /** Whether a field is the Traceparent directly after the request's id, whose place is remembered. */
  #isTrace({ fields }: MessageHead, at: number, idAt: number): boolean {
    return at === idAt + FIELD_STRIDE && this.#idStart >= 0 && fields[at + FIELD_ID] === FIELD_TRACEPARENT;
  }

  /** Adds fields some of which have the same name: one member with several values. */
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

/** Puts a value, given by offsets from the first field, into a text; false if it would have to be escaped there. */
function putValue(
  { buffer, fields }: MessageHead,
  valueStart: number,
  valueEnd: number,
  text: ByteText,
  start: number,
  textStart: number,
): boolean {
  if (textStart < 0) return true;
  const from = fields[LINE_START] as number;
  const { bytes } = text;
  const end = from + valueEnd;
  for (let i = from + valueStart, at = start + textStart; i < end; i++, at++) {
    const byte = buffer[i] as number;
    if (byte < 0x20 || byte > 0x7e || byte === QUOTE || byte === BACKSLASH) return false;
    bytes[at] = byte;
  }
  return true;
}
