// Reads only the sender of a message, of any kind.

import { MESSAGE_DELTA, MESSAGE_DIGEST, type Sender } from "./messages.js";
import { decodePacket } from "./packet-codec.js";
import { RequestReader } from "./stream-codec.js";

/** The sender of a packet or request; undefined if the bytes are neither. */
export function findSender(bytes: Buffer): Sender | undefined {
  const [type] = bytes;
  try {
    if (type === MESSAGE_DIGEST || type === MESSAGE_DELTA) return decodePacket(bytes).from;
    return new RequestReader(bytes).from;
  } catch {
    return undefined;
  }
}
