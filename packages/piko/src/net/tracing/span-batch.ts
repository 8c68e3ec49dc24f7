// Spans as the body of one request to a collector. They are kept as bytes: as text, made of many small strings, those that wait for their
// batch would occupy the garbage collector more than all else that a sampled request does.

/** Room for the spans of an idle program. */
const INITIAL_BYTES = 16_384;
/** A batch with more room isn't used again. A span has at most 10 KiB, so the room is limited by their number. */
const KEPT_BYTES = 1_048_576;
const COMMA = 0x2c;
/** The maximum length of a UTF-16 code unit in UTF-8. */
const MAX_CHAR_BYTES = 3;
const CLOSING = Buffer.from("]}]}]}", "latin1");

export class SpanBatch {
  /** Number of spans. */
  count: number;
  /** Where the first span begins. */
  readonly #start: number;
  #bytes: Buffer;
  #end: number;

  /** `opening`: everything before the first span. */
  constructor(opening: Buffer) {
    this.#start = opening.length;
    this.#bytes = Buffer.allocUnsafeSlow(opening.length + INITIAL_BYTES);
    opening.copy(this.#bytes);
    this.#end = this.#start;
    this.count = 0;
  }

  /** Whether it should be used for other spans. */
  get reusable(): boolean {
    return this.#bytes.length <= KEPT_BYTES;
  }

  /** Adds a span, the text of a JSON object. */
  add(span: string): void {
    const room = span.length * MAX_CHAR_BYTES + CLOSING.length + 1;
    if (this.#bytes.length - this.#end < room) this.#grow(room);
    if (this.count++ > 0) this.#bytes[this.#end++] = COMMA;
    this.#end += this.#bytes.write(span, this.#end);
  }

  /** The whole body; valid until the batch is used again. */
  body(): Buffer {
    return this.#bytes.subarray(0, this.#end + CLOSING.copy(this.#bytes, this.#end));
  }

  clear(): void {
    this.#end = this.#start;
    this.count = 0;
  }

  #grow(room: number): void {
    const bytes = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#end + room));
    this.#bytes.copy(bytes, 0, 0, this.#end);
    this.#bytes = bytes;
  }
}
