// Which of many a request is: what a trusted proxy, or the node before, calls it (`x-request-id`), else a name of ours. It
// goes on to the service, and stands in the access logs of all that the request came by.

import { randomBytes } from "node:crypto";

/** Longer ones are none of ours to carry. */
const MAX_BYTES = 64;
/** Of this process, in a name of ours. */
const PREFIX_DIGITS = 12;
const COUNTER_DIGITS = 8;
/** Length of a name of ours: hexadecimal digits. */
export const MADE_BYTES: number = PREFIX_DIGITS + COUNTER_DIGITS;

const DIGITS = Buffer.from("0123456789abcdef", "latin1");

let prefix = Buffer.from(randomBytes(PREFIX_DIGITS / 2).toString("hex"), "latin1");
let counter = 0;

/** One per record, for one request after another. */
export class RequestId {
  readonly bytes: Buffer = Buffer.allocUnsafe(MAX_BYTES);
  /** 0: there is none. */
  length = 0;
  #view: Uint8Array = this.bytes.subarray(0, 0);

  /** The id. The same object while its length is that of the last time. */
  get view(): Uint8Array {
    if (this.#view.length !== this.length) this.#view = this.bytes.subarray(0, this.length);
    return this.#view;
  }

  /** Takes what a head says. Nothing that a header or a log line would have to be careful with is taken. */
  take(buffer: Buffer, start: number, end: number): void {
    this.length = 0;
    if (end - start > MAX_BYTES) return;
    const { bytes } = this;
    for (let at = start, to = 0; at < end; at++, to++) {
      const byte = buffer[at] as number;
      // Visible, and neither quote nor backslash.
      if (byte <= 0x20 || byte >= 0x7f || byte === 0x22 || byte === 0x5c) return;
      bytes[to] = byte;
    }
    this.length = end - start;
  }

  /** Makes one that no other request has. */
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
