// Collects a TCP message until it is complete. The TCP half of the transport uses it for requests and answers.

import { GossipError } from "../wire/errors.js";
import type { MessageEnd } from "../protocol/transport.js";

const FIRST_BYTES = 4_096;

/** A buffer that grows with what arrives, up to a limit, and never in advance. */
export class MessageBuffer {
  readonly #limit: number;
  readonly #end: MessageEnd;
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;

  constructor(end: MessageEnd, limit: number) {
    this.#end = end;
    this.#limit = limit;
  }

  /** Memory that it uses, in bytes. */
  get capacity(): number {
    return this.#buffer.length;
  }

  /**
   * Adds bytes; returns the message once it is complete, else undefined.
   *
   * @throws GossipError if it is too long or isn't a message.
   */
  add(chunk: Buffer): Buffer | undefined {
    const length = this.#length + chunk.length;
    if (length > this.#limit) {
      throw new GossipError("PIKO_GOSSIP_MESSAGE_TOO_LARGE", `message is longer than ${this.#limit} bytes`);
    }
    if (length > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.min(this.#limit, Math.max(FIRST_BYTES, 2 * length)));
      this.#buffer.copy(larger, 0, 0, this.#length);
      this.#buffer = larger;
    }
    chunk.copy(this.#buffer, this.#length);
    this.#length = length;
    const end = this.#end.find(this.#buffer, length);
    return end === undefined ? undefined : this.#buffer.subarray(0, end);
  }
}
