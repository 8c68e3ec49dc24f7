// Identifies a request among many: the id that a trusted proxy or the previous node gave it (`x-request-id`), otherwise one
// generated here. The id is passed on to the service, and is in the access logs of all nodes and agents on the request's path.

import { randomBytes } from "node:crypto";

/** Longer ids are not passed on. */
const MAX_BYTES = 64;
/** The part of a generated id that identifies this process. */
const PREFIX_DIGITS = 12;
const COUNTER_DIGITS = 8;
/** Length of a generated id, in hexadecimal digits. */
export const MADE_BYTES: number = PREFIX_DIGITS + COUNTER_DIGITS;

const DIGITS = Buffer.from("0123456789abcdef", "latin1");

let prefix = Buffer.from(randomBytes(PREFIX_DIGITS / 2).toString("hex"), "latin1");
let counter = 0;

/** The id of a record's current request. */
export class RequestId {
  readonly bytes: Buffer = Buffer.allocUnsafe(MAX_BYTES);
  /** 0 if there is no id. */
  length = 0;
  #view: Uint8Array = this.bytes.subarray(0, 0);

  /** The id. The same object as last time if its length hasn't changed. */
  get view(): Uint8Array {
    if (this.#view.length !== this.length) this.#view = this.bytes.subarray(0, this.length);
    return this.#view;
  }

  /** Takes the id from a head, unless it contains something that a header or a log line would have to escape. */
  take(buffer: Buffer, start: number, end: number): void {
    this.length = 0;
    if (end - start > MAX_BYTES) return;
    const { bytes } = this;
    for (let at = start, to = 0; at < end; at++, to++) {
      const byte = buffer[at] as number;
      // Only visible characters, without quote and backslash.
      if (byte <= 0x20 || byte >= 0x7f || byte === 0x22 || byte === 0x5c) return;
      bytes[to] = byte;
    }
    this.length = end - start;
  }

  /** Generates a unique id. */
  make(): void {
    const { bytes } = this;
    if (counter === 0xffff_ffff) {
      prefix = Buffer.from(randomBytes(PREFIX_DIGITS / 2).toString("hex"), "latin1");
      counter = 0;
    }
    counter++;
    for (let at = 0; at < PREFIX_DIGITS; at++) bytes[at] = prefix[at] as number;
    let rest = counter;
    for (let at = MADE_BYTES - 1; at >= PREFIX_DIGITS; at--) {
      bytes[at] = DIGITS[rest & 15] as number;
      rest >>>= 4;
    }
    this.length = MADE_BYTES;
  }

  toString(): string {
    return this.bytes.toString("latin1", 0, this.length);
  }
}
