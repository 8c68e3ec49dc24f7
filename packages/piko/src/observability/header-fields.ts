// The header fields of a message as JSON text for the access log: `{"User-Agent":["curl"],"Via":["a","b"]}`. Runs for
// every request and response, straight from the bytes of the head: one decode a head, no object a field.

import type { HeaderFilterConfig } from "../config/access-log.js";
import {
  FIELD_STRIDE,
  LINE_START,
  type MessageHead,
  NAME_END,
  VALUE_END,
  VALUE_START,
} from "../http1/head.js";
import { REDACTED } from "./redact.js";

/** Fields whose values are credentials. */
const SECRET_FIELDS: ReadonlySet<string> = new Set([
  "Authorization",
  "Proxy-Authorization",
  "X-Piko-Authorization",
  "Cookie",
  "Set-Cookie",
]);
/** Field names that are remembered; a peer that invents names makes them be worked out anew, nothing more. */
const MAX_NAMES = 512;
// What JSON must escape, and bytes above ASCII, which have to be read as UTF-8 first.
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const NOT_PLAIN = /["\\\u0000-\u001f\u007f-\u00ff]/;

class FieldName {
  /** `"User-Agent":["` */
  readonly opening: string;
  readonly shown: boolean;
  readonly secret: boolean;
  /** The last head that this name was seen in; tells repeated fields. */
  seenIn: number;

  constructor(name: string, shown: boolean) {
    this.opening = `${JSON.stringify(name)}:["`;
    this.shown = shown;
    this.secret = SECRET_FIELDS.has(name);
    this.seenIn = 0;
  }
}

/** Formats the fields of heads, with one filter. */
export class HeaderFields {
  readonly #allow: ReadonlySet<string>;
  readonly #block: ReadonlySet<string>;
  /** By the name as sent. */
  readonly #names: Map<string, FieldName> = new Map();
  /** By the canonical name, so that different spellings of a name are one. */
  readonly #canonical: Map<string, FieldName> = new Map();
  #heads = 0;

  constructor(filter: HeaderFilterConfig) {
    this.#allow = new Set(filter.allowList.map(canonicalName));
    this.#block = new Set([...filter.blockList.map(canonicalName), "Host"]);
  }

  /** The JSON object of a head's fields, in the order sent. Host is left out: the line has it. */
  format(head: MessageHead): string {
    if (this.#names.size > MAX_NAMES) {
      this.#names.clear();
      this.#canonical.clear();
    }
    const start = head.start;
    const text = head.buffer.toString("latin1", start, head.end);
    const fields = head.fields;
    const end = head.fieldCount * FIELD_STRIDE;
    this.#heads += 1;
    let out = "";
    for (let at = 0; at < end; at += FIELD_STRIDE) {
      const name = this.#name(
        text.slice(number(fields[at + LINE_START]) - start, number(fields[at + NAME_END]) - start),
      );
      if (!name.shown) continue;
      if (name.seenIn === this.#heads) return this.#formatRepeated(head, text);
      name.seenIn = this.#heads;
      const value = name.secret
        ? REDACTED
        : quotable(
            text.slice(number(fields[at + VALUE_START]) - start, number(fields[at + VALUE_END]) - start),
          );
      out += out === "" ? `{${name.opening}${value}"]` : `,${name.opening}${value}"]`;
    }
    return out === "" ? "{}" : `${out}}`;
  }

  /** As format, for a head with a name that occurs more than once. */
  #formatRepeated(head: MessageHead, text: string): string {
    const values = new Map<FieldName, string>();
    for (let index = 0; index < head.fieldCount; index++) {
      const part = (from: number, to: number): string =>
        text.slice(
          number(head.fields[index * FIELD_STRIDE + from]) - head.start,
          number(head.fields[index * FIELD_STRIDE + to]) - head.start,
        );
      const name = this.#name(part(LINE_START, NAME_END));
      if (!name.shown) continue;
      const value = name.secret ? REDACTED : quotable(part(VALUE_START, VALUE_END));
      const before = values.get(name);
      values.set(name, before === undefined ? value : `${before}","${value}`);
    }
    return `{${[...values].map(([name, value]) => `${name.opening}${value}"]`).join(",")}}`;
  }

  #name(sent: string): FieldName {
    const known = this.#names.get(sent);
    if (known !== undefined) return known;
    const canonical = canonicalName(sent);
    let name = this.#canonical.get(canonical);
    if (name === undefined) {
      const shown = this.#allow.size > 0 ? this.#allow.has(canonical) : !this.#block.has(canonical);
      name = new FieldName(canonical, shown);
      this.#canonical.set(canonical, name);
    }
    // A sliced name would keep the whole head alive as long as it is remembered.
    this.#names.set(Buffer.from(sent, "latin1").toString("latin1"), name);
    return name;
  }
}

/** `user-agent` -> `User-Agent`, as Go writes field names. */
export function canonicalName(name: string): string {
  return name.toLowerCase().replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase());
}

/** Text that stands between quotes in JSON, from text whose characters are bytes. */
export function quotable(bytes: string): string {
  if (!NOT_PLAIN.test(bytes)) return bytes;
  return JSON.stringify(Buffer.from(bytes, "latin1").toString("utf8")).slice(1, -1);
}

/** Typed arrays read as possibly undefined; inside of their bounds they never are. */
function number(value: number | undefined): number {
  return value as number;
}
