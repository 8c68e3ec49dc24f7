// The trailer section of a chunked body: collected whole, checked like the fields of a head, without the fields that are
// forbidden in trailers (RFC 9110 6.5.1). Called by body-reader.ts when a message has trailers, which is rare.

import { LINE_INCOMPLETE, lineError, parseFieldLine, parseResponseFieldLine } from "./field-line.js";
import { COLON } from "../ascii.js";
import { HTTP_ERRORS, type HttpError } from "../errors.js";
import { FIELD_STRIDE, LINE_END, LINE_START, NAME_END } from "../head.js";
import type { ByteBudget } from "../../net/byte-budget.js";
import { ByteStore } from "../../net/byte-store.js";

/** Limit for the bytes of a trailer section with its blank line: gRPC sends metadata there, of 8 KiB by its default. */
const MAX_TRAILER_BYTES = 16_384;
/** Limit for its fields. */
const MAX_TRAILER_FIELDS = 64;

// A trailer that speaks of framing has no honest sender.
const REFUSED: ReadonlySet<string> = new Set(["content-length", "transfer-encoding"]);

// Routing, request modifiers, authentication, response control and content handling: whoever merged these
// into the head would change what has been decided already.
const FORBIDDEN: ReadonlySet<string> = new Set(
  [
    "connection host keep-alive te trailer upgrade http2-settings",
    "cache-control expect max-forwards pragma range forwarded x-real-ip",
    "authorization cookie set-cookie www-authenticate authentication-info",
    "age date expires location retry-after vary warning",
    "content-encoding content-type content-range",
  ].flatMap((line) => line.split(" ")),
);
const FORBIDDEN_PREFIXES: readonly string[] = ["if-", "proxy-", "x-forwarded-", "x-piko-", "sec-"];

/** One section being collected. It holds memory only between the first byte and {@link TrailerSection.clear}. */
export class TrailerSection {
  /** Why {@link TrailerSection.filter} or {@link TrailerSection.append} returned false. */
  error: HttpError | undefined = undefined;
  readonly #bytes: ByteStore;
  readonly #parseLine: typeof parseFieldLine;

  /** `tolerant`: white space before a colon is taken out, not refused. With a budget its memory is counted there. */
  constructor(tolerant: boolean, budget?: ByteBudget) {
    this.#bytes = new ByteStore(budget);
    this.#parseLine = tolerant ? parseResponseFieldLine : parseFieldLine;
  }

  /** Bytes that it has. */
  get length(): number {
    return this.#bytes.length;
  }

  /** The field lines without the blank one, when the section is whole and filtered. They stay valid. */
  get lines(): Buffer {
    const { buffer, start, end } = this.#bytes;
    return buffer.subarray(start, end - 2);
  }

  /** Copies `source[start, end)`; false beyond the limit. */
  append(source: Buffer, start: number, end: number): boolean {
    if (this.length + end - start > MAX_TRAILER_BYTES) {
      this.error = HTTP_ERRORS.TRAILER_SIZE;
      return false;
    }
    this.#bytes.append(source, start, end);
    return true;
  }

  /** Checks the whole section, which ends with its blank line, and drops forbidden fields from it in place. */
  filter(): boolean {
    const { buffer } = this.#bytes;
    const fields = new Int32Array(FIELD_STRIDE);
    const end = this.length - 2;
    let kept = 0;
    let count = 0;
    for (let at = 0; at < end; ) {
      if (++count > MAX_TRAILER_FIELDS) return this.#refuse(HTTP_ERRORS.TRAILER_SIZE);
      at = this.#parseLine(fields, 0, buffer, at, end);
      if (at <= LINE_INCOMPLETE) {
        return this.#refuse(at === LINE_INCOMPLETE ? HTTP_ERRORS.TRAILER : lineError(at));
      }
      const lineStart = fields[LINE_START] as number;
      const lineEnd = fields[LINE_END] as number;
      const nameEnd = fields[NAME_END] as number;
      const name = buffer.toString("latin1", lineStart, nameEnd).toLowerCase();
      if (REFUSED.has(name)) return this.#refuse(HTTP_ERRORS.TRAILER);
      if (isForbidden(name)) continue;
      const colon = buffer.indexOf(COLON, nameEnd);
      buffer.copyWithin(kept, lineStart, nameEnd);
      kept += nameEnd - lineStart;
      buffer.copyWithin(kept, colon, lineEnd);
      kept += lineEnd - colon;
    }
    buffer.copyWithin(kept, end, this.length);
    this.#bytes.end = kept + 2;
    return true;
  }

  /** Lets the buffer go. */
  clear(): void {
    this.#bytes.clear();
    this.error = undefined;
  }

  #refuse(error: HttpError): false {
    this.error = error;
    return false;
  }
}

function isForbidden(name: string): boolean {
  return FORBIDDEN.has(name) || FORBIDDEN_PREFIXES.some((prefix) => name.startsWith(prefix));
}
