// Finds where a TCP message ends. Such messages have no length field: they are a number of MessagePack values in a row. So values are
// counted as bytes arrive, each byte once, before anything is decoded. Passed to the transports, which can't parse messages.

import { GossipError } from "./errors.js";
import { MESSAGE_JOIN, MESSAGE_LEAVE } from "./messages.js";
import { valueSize } from "./msgpack-reader.js";

/** Finds the end of one message in a buffer that grows. */
export interface MessageEnd {
  /**
   * Continues with a longer buffer: returns the end of the message once it is within `bytes[0..end)`, else undefined.
   *
   * @throws GossipError if the bytes aren't a message.
   */
  find(bytes: Buffer, end: number): number | undefined;
}

/** For the answer to a join: its head and its nodes. */
export function joinAnswerEnd(): MessageEnd {
  return new ValuesEnd(2, 0);
}

/** For the answer to a leave: its head. */
export function leaveAnswerEnd(): MessageEnd {
  return new ValuesEnd(1, 0);
}

/** For a request. Its first byte determines what follows the prefix: head and nodes, and the digest of a join. */
export function requestEnd(): MessageEnd {
  let values: ValuesEnd | undefined;
  return {
    find(bytes, end) {
      if (end === 0) return undefined;
      values ??= new ValuesEnd(requestValues(bytes[0]), REQUEST_PREFIX_BYTES);
      return values.find(bytes, end);
    },
  };
}

/** Type and version of the protocol. */
const REQUEST_PREFIX_BYTES = 2;

function requestValues(type: number | undefined): number {
  if (type === MESSAGE_JOIN) return 3;
  if (type === MESSAGE_LEAVE) return 2;
  throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", `unknown message type ${type}`);
}

/** Counts values. */
class ValuesEnd implements MessageEnd {
  #at: number;
  #values: number;

  constructor(values: number, start: number) {
    this.#values = values;
    this.#at = start;
  }

  find(bytes: Buffer, end: number): number | undefined {
    while (this.#values > 0) {
      const size = valueSize(bytes, this.#at, end);
      if (size.header === 0) return undefined;
      this.#at += size.header + size.body;
      this.#values += size.nested - 1;
    }
    return this.#at <= end ? this.#at : undefined;
  }
}
