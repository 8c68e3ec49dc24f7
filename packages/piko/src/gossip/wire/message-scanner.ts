// Finds where a message over TCP ends. Such messages have no length: they are a number of MessagePack values in a row, so
// the transports count values as bytes arrive, each byte once, before anything is decoded.

import { GossipError } from "./errors.js";
import { MESSAGE_JOIN, MESSAGE_LEAVE } from "./messages.js";
import { valueSize } from "./msgpack-reader.js";

/** Values of a join's answer: its header and its nodes. */
export const JOIN_RESPONSE_VALUES = 2;
/** Values of a leave's answer: its header. */
export const LEAVE_RESPONSE_VALUES = 1;
/** Bytes before the values of a request: its type and the protocol's version. */
export const REQUEST_PREFIX_BYTES = 2;

/**
 * Values of a request of this type, after its prefix.
 *
 * @throws GossipError for types that no request has.
 */
export function requestValues(type: number): number {
  if (type === MESSAGE_JOIN) return 3;
  if (type === MESSAGE_LEAVE) return 2;
  throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", `unknown message type ${type}`);
}

/** Counts values in a buffer that grows. */
export class MessageScanner {
  #at: number;
  #values: number;

  /** Looks for the end of `values` values that begin at `start`. */
  constructor(values: number, start: number) {
    this.#values = values;
    this.#at = start;
  }

  /**
   * Goes on with a longer buffer: the end of the message once it is within `bytes[0..end)`, else undefined.
   *
   * @throws GossipError if the bytes are not MessagePack.
   */
  scan(bytes: Buffer, end: number): number | undefined {
    while (this.#values > 0) {
      const size = valueSize(bytes, this.#at, end);
      if (size.header === 0) return undefined;
      this.#at += size.header + size.body;
      this.#values += size.nested - 1;
    }
    return this.#at <= end ? this.#at : undefined;
  }
}
