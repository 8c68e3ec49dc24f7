// Looks up single fields of a parsed head, for the few places that need a field as text (a WebSocket handshake, a
// token). The data path never uses it.

import { asciiBytes, equalsIgnoringCase } from "./ascii.js";
import {
  FIELD_ID,
  FIELD_STRIDE,
  LINE_START,
  type MessageHead,
  NAME_END,
  VALUE_END,
  VALUE_START,
} from "./head.js";

/** The value of the first field with this FIELD_* number, byte for byte (latin1), or undefined. */
export function findField(head: MessageHead, id: number): string | undefined {
  const { fields } = head;
  const limit = head.fieldCount * FIELD_STRIDE;
  for (let record = 0; record < limit; record += FIELD_STRIDE) {
    if (fields[record + FIELD_ID] !== id) continue;
    return textAt(head, record);
  }
  return undefined;
}

/** The value of the field with this index, byte for byte (latin1). */
export function valueAt(head: MessageHead, index: number): string {
  return textAt(head, index * FIELD_STRIDE);
}

/** Like `findField`, for a name without a number; `name` must be in lower case. */
export function findNamedField(head: MessageHead, name: string): string | undefined {
  const { buffer, fields } = head;
  const wanted = asciiBytes(name);
  const limit = head.fieldCount * FIELD_STRIDE;
  for (let record = 0; record < limit; record += FIELD_STRIDE) {
    const start = fields[record + LINE_START] as number;
    if (equalsIgnoringCase(buffer, start, fields[record + NAME_END] as number, wanted)) {
      return textAt(head, record);
    }
  }
  return undefined;
}

function textAt(head: MessageHead, record: number): string {
  return head.buffer.toString("latin1", head.fields[record + VALUE_START], head.fields[record + VALUE_END]);
}
