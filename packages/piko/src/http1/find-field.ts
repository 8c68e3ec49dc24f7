// Looks up single fields of a parsed head, for the few places that need a field as text (a WebSocket handshake, a
// token). The data path never does.

import { FIELD_ID, FIELD_STRIDE, type MessageHead, VALUE_END, VALUE_START } from "./head.js";

/** The value of the first field with this FIELD_* number, byte for byte (latin1), or undefined. */
export function findField(head: MessageHead, id: number): string | undefined {
  const { fields } = head;
  const limit = head.fieldCount * FIELD_STRIDE;
  for (let record = 0; record < limit; record += FIELD_STRIDE) {
    if (fields[record + FIELD_ID] !== id) continue;
    return head.buffer.toString("latin1", fields[record + VALUE_START], fields[record + VALUE_END]);
  }
  return undefined;
}
