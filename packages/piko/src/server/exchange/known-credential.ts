// The last credential of a client's connection, and its identity. Most requests of a connection send the same credential, and
// are accepted without creating a string or a digest.

import type { Identity } from "../../auth/identity.js";
import { viewOf } from "../../http/byte-view.js";
import { FIELD_STRIDE, type RequestHead, VALUE_END, VALUE_START } from "../../http/head.js";

/** Longer credentials aren't remembered. */
const MAX_KEPT_BYTES = 2_048;
const EMPTY: Buffer = Buffer.alloc(0);
const NOTHING: DataView = new DataView(new ArrayBuffer(0));

/** Bytes that are compared per round. */
const ROUND = 16;

/**
 * Whether `asked` has all of `known` at `start`. Always compares every byte, in constant time, since one connection may carry
 * requests of several clients. Rounds of 16 bytes are twice as fast as rounds of 4.
 */
function isSame(known: DataView, asked: DataView, start: number): boolean {
  const length = known.byteLength;
  const rounds = length - ROUND;
  let different = 0;
  let at = 0;
  for (; at <= rounds; at += ROUND) {
    const there = start + at;
    different |=
      (known.getInt32(at, true) ^ asked.getInt32(there, true)) |
      (known.getInt32(at + 4, true) ^ asked.getInt32(there + 4, true)) |
      (known.getInt32(at + 8, true) ^ asked.getInt32(there + 8, true)) |
      (known.getInt32(at + 12, true) ^ asked.getInt32(there + 12, true));
  }
  for (; at < length; at++) different |= known.getUint8(at) ^ asked.getUint8(start + at);
  return different === 0;
}

export class KnownCredential {
  #bytes: Buffer = EMPTY;
  #words: DataView = NOTHING;
  #identity: Identity | undefined = undefined;

  /** Returns the identity if the field at `index` holds the remembered credential. */
  find(head: RequestHead, index: number): Identity | undefined {
    if (this.#identity === undefined) return undefined;
    const { buffer, fields } = head;
    const start = fields[index * FIELD_STRIDE + VALUE_START] as number;
    const length = (fields[index * FIELD_STRIDE + VALUE_END] as number) - start;
    return length === this.#bytes.length && isSame(this.#words, viewOf(buffer), buffer.byteOffset + start)
      ? this.#identity
      : undefined;
  }

  /** Remembers the credential in the field at `index`, and its identity. */
  remember(head: RequestHead, index: number, identity: Identity): void {
    const { buffer, fields } = head;
    const start = fields[index * FIELD_STRIDE + VALUE_START] as number;
    const end = fields[index * FIELD_STRIDE + VALUE_END] as number;
    const length = end - start;
    if (length > MAX_KEPT_BYTES) {
      this.#identity = undefined;
      return;
    }
    if (length !== this.#bytes.length) {
      this.#bytes = Buffer.allocUnsafeSlow(length);
      this.#words = new DataView(this.#bytes.buffer);
    }
    buffer.copy(this.#bytes, 0, start, end);
    this.#identity = identity;
  }
}
