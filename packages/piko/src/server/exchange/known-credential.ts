// The credential that a client's connection has shown last, and whom it stands for. Most requests of a connection show
// the same: they are let in without a string or a digest.

import type { Identity } from "../../auth/identity.js";
import { FIELD_STRIDE, type RequestHead, VALUE_END, VALUE_START } from "../../http/head.js";

/** Longer ones aren't kept with the connection. */
const MAX_KEPT_BYTES = 2_048;
const EMPTY: Buffer = Buffer.alloc(0);

export class KnownCredential {
  #bytes: Buffer = EMPTY;
  #identity: Identity | undefined = undefined;

  /** Whom the field of this index stands for, if it is the same as last time. */
  find(head: RequestHead, index: number): Identity | undefined {
    if (this.#identity === undefined) return undefined;
    const { buffer, fields } = head;
    const bytes = this.#bytes;
    const start = fields[index * FIELD_STRIDE + VALUE_START] as number;
    if ((fields[index * FIELD_STRIDE + VALUE_END] as number) - start !== bytes.length) return undefined;
    // All bytes in any case: how long it takes tells nothing, where a connection carries requests of several.
    let different = 0;
    for (let at = 0; at < bytes.length; at++) {
      different |= (bytes[at] as number) ^ (buffer[start + at] as number);
    }
    return different === 0 ? this.#identity : undefined;
  }

  /** The field of this index stands for `identity`. */
  remember(head: RequestHead, index: number, identity: Identity): void {
    const { buffer, fields } = head;
    const start = fields[index * FIELD_STRIDE + VALUE_START] as number;
    const end = fields[index * FIELD_STRIDE + VALUE_END] as number;
    const length = end - start;
    if (length > MAX_KEPT_BYTES) {
      this.#identity = undefined;
      return;
    }
    if (length !== this.#bytes.length) this.#bytes = Buffer.allocUnsafeSlow(length);
    buffer.copy(this.#bytes, 0, start, end);
    this.#identity = identity;
  }
}
