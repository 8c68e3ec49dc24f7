// The trailer section of a chunked body: collected completely, checked like the fields of a head, and stripped of fields
// that aren't allowed in trailers (RFC 9110 section 6.5.1). Called by body-reader.ts if a message has trailers, which is rare.

import { LINE_INCOMPLETE, lineError, parseFieldLine, parseResponseFieldLine } from "./field-line.js";
import { COLON } from "../ascii.js";
import { HTTP_ERRORS, type HttpError } from "../errors.js";
import { FIELD_STRIDE, LINE_END, LINE_START, NAME_END } from "../head.js";
import type { ByteBudget } from "../../net/byte-budget.js";
import { ByteStore } from "../../net/byte-store.js";

/** Maximum size of a trailer section with its blank line. gRPC sends metadata there, up to 8 KiB by default. */
const MAX_TRAILER_BYTES = 16_384;
/** Maximum number of its fields. */
const MAX_TRAILER_FIELDS = 64;

// No legitimate sender has framing fields in trailers.
const REFUSED: ReadonlySet<string> = new Set(["content-length", "transfer-encoding"]);

// Routing, request modifiers, authentication, response control and content handling: a recipient that merged these
// into the head would change decisions that have already been made.
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

/** A section that is being collected. It holds memory only between its first byte and {@link TrailerSection.clear}. */
export class TrailerSection {
  /** Why {@link TrailerSection.filter} or {@link TrailerSection.append} returned false. */
  error: HttpError | undefined = undefined;
  readonly #bytes: ByteStore;
  readonly #parseLine: typeof parseFieldLine;

  /** `tolerant`: white space before a colon is removed instead of refused. With a budget, memory is counted there. */
  constructor(tolerant: boolean, budget?: ByteBudget) {
    this.#bytes = new ByteStore(budget);
    this.#parseLine = tolerant ? parseResponseFieldLine : parseFieldLine;
  }

  /** Number of bytes collected. */
  get length(): number {
    return this.#bytes.length;
  }

  /** The field lines without the blank line, once the section is complete and filtered. They stay valid. */
  get lines(): Buffer {
    const { buffer, start, end } = this.#bytes;
    return buffer.subarray(start, end - 2);
  }

  /** Copies `source[start, end)`. False if that exceeds the limit. */
  append(source: Buffer, start: number, end: number): boolean {
    if (this.length + end - start > MAX_TRAILER_BYTES) {
      this.error = HTTP_ERRORS.TRAILER_SIZE;
      return false;
    }
    this.#bytes.append(source, start, end);
    return true;
  }

  /** Checks the complete section, which ends with its blank line, and removes forbidden fields in place. */
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

  /** Frees the memory. */
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
