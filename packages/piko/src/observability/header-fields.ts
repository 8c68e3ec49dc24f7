// The header fields of a message as JSON text for the access log: `{"User-Agent":["curl"],"Via":["a","b"]}`. Runs for
// every request and response: bytes are copied from the head into one scratch buffer, and become one string, whose
// characters are the bytes of its UTF-8.

import type { HeaderFilterConfig } from "../config/access-log.js";
import {
  FIELD_STRIDE,
  LINE_START,
  type MessageHead,
  NAME_END,
  VALUE_END,
  VALUE_START,
} from "../http1/head.js";
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
/** More than the name's quotes, colon, brackets, comma and a redacted value need. */
const FIELD_OVERHEAD = 32;

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Fields up to this size are compared with those of the head before. */
const MAX_REMEMBERED_BYTES = 2_048;

/** Formats the fields of heads, with one filter. */
export class HeaderFields {
  /** The fields of the last head as they came, and as text. */
  readonly #last: Buffer = Buffer.allocUnsafeSlow(MAX_REMEMBERED_BYTES);
  #lastLength = 0;
  #lastText = "";
  readonly #names: FieldNameTable;
  #scratch: Buffer = Buffer.allocUnsafeSlow(4_096);
  #length = 0;
  /** Bytes that the head at hand can take. */
  #room = 0;
  #heads = 0;

  constructor(filter: HeaderFilterConfig) {
    const allow = new Set(filter.allowList.map(canonicalName));
    const block = new Set([...filter.blockList.map(canonicalName), "Host"]);
    this.#names = new FieldNameTable((name) => {
      const shown = allow.size > 0 ? allow.has(name) : !block.has(name);
      return new FieldName(name, shown, SECRET_FIELDS.has(name));
    });
  }

  /** The JSON object of a head's fields, in the order sent. Host is left out: the line has it. */
  format(head: MessageHead): string {
    if (head.fieldCount === 0) return "{}";
    const { buffer } = head;
    const start = head.fields[LINE_START] as number;
    const length = head.end - start;
    // Programs send the same fields over and over: then comparing them costs a tenth of formatting them.
    if (length === this.#lastLength && buffer.compare(this.#last, 0, length, start, head.end) === 0) {
      return this.#lastText;
    }
    const text = this.#format(head);
    this.#lastLength = length <= MAX_REMEMBERED_BYTES ? length : 0;
    if (this.#lastLength > 0) {
      buffer.copy(this.#last, 0, start, head.end);
      this.#lastText = text;
    }
    return text;
  }

  #format(head: MessageHead): string {
    this.#names.trim();
    const { fields, buffer } = head;
    const end = head.fieldCount * FIELD_STRIDE;
    this.#heads += 1;
    this.#length = 0;
    // Quotes and backslashes take two bytes.
    this.#room = (head.end - head.start) * 2 + head.fieldCount * FIELD_OVERHEAD + 2;
    this.#reserve();
    this.#scratch[this.#length++] = OPEN_BRACE;
    for (let at = 0; at < end; at += FIELD_STRIDE) {
      const name = this.#names.get(
        buffer,
        fields[at + LINE_START] as number,
        fields[at + NAME_END] as number,
      );
      if (!name.shown) continue;
      if (name.seenIn === this.#heads) return this.#formatRepeated(head);
      name.seenIn = this.#heads;
      if (this.#length > 1) this.#scratch[this.#length++] = COMMA;
      this.#copy(name.opening);
      this.#value(buffer, name, fields[at + VALUE_START] as number, fields[at + VALUE_END] as number);
      this.#scratch[this.#length++] = QUOTE;
      this.#scratch[this.#length++] = CLOSE_BRACKET;
    }
    this.#scratch[this.#length++] = CLOSE_BRACE;
    return this.#text();
  }

  /** As format, for a head with a name that occurs more than once. */
  #formatRepeated(head: MessageHead): string {
    const { fields, buffer } = head;
    const values = new Map<FieldName, string[]>();
    for (let at = 0; at < head.fieldCount * FIELD_STRIDE; at += FIELD_STRIDE) {
      const name = this.#names.get(
        buffer,
        fields[at + LINE_START] as number,
        fields[at + NAME_END] as number,
      );
      if (!name.shown) continue;
      this.#length = 0;
      this.#value(buffer, name, fields[at + VALUE_START] as number, fields[at + VALUE_END] as number);
      const value = `"${this.#text()}"`;
      const before = values.get(name);
      if (before === undefined) values.set(name, [value]);
      else before.push(value);
    }
    return `{${[...values].map(([{ name }, list]) => `${latin1OfUtf8(JSON.stringify(name))}:[${list.join(",")}]`).join(",")}}`;
  }

  #value(buffer: Buffer, name: FieldName, start: number, end: number): void {
    if (name.secret) {
      this.#copy(REDACTED_BYTES);
      return;
    }
    const scratch = this.#scratch;
    let length = this.#length;
    for (let i = start; i < end; i++) {
      const byte = buffer[i] as number;
      if (byte === QUOTE || byte === BACKSLASH) {
        scratch[length++] = BACKSLASH;
      } else if (byte < 0x20 || byte > 0x7e) {
        this.#escaped(buffer.toString("utf8", start, end));
        return;
      }
      scratch[length++] = byte;
    }
    this.#length = length;
  }

  /** A value with control characters or beyond ASCII; it may grow sixfold. */
  #escaped(value: string): void {
    const json = JSON.stringify(value);
    this.#room += Buffer.byteLength(json);
    this.#reserve();
    this.#length += this.#scratch.write(json.slice(1, -1), this.#length, "utf8");
  }

  #copy(bytes: Uint8Array): void {
    const scratch = this.#scratch;
    let length = this.#length;
    for (let i = 0; i < bytes.length; i++) scratch[length++] = bytes[i] as number;
    this.#length = length;
  }

  #reserve(): void {
    if (this.#room <= this.#scratch.length) return;
    const larger = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(this.#room)));
    larger.set(this.#scratch.subarray(0, this.#length));
    this.#scratch = larger;
  }

  #text(): string {
    return this.#scratch.toString("latin1", 0, this.#length);
  }
}

// What JSON must escape, and bytes above ASCII, which have to be read as UTF-8 first.
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const NOT_PLAIN = /["\\\u0000-\u001f\u007f-\u00ff]/;

/** Text that stands between quotes in JSON, from text whose characters are bytes; its characters are bytes too. */
export function quotable(bytes: string): string {
  if (!NOT_PLAIN.test(bytes)) return bytes;
  return latin1OfUtf8(JSON.stringify(Buffer.from(bytes, "latin1").toString("utf8")).slice(1, -1));
}

/** The bytes of a text's UTF-8 as characters. */
export function latin1OfUtf8(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}
