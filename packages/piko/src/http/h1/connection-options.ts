// The Connection field: which options it lists, and which fields the next hop must drop. The parsers call parseConnection
// for each Connection line; if it names fields, the rewriters call connectionNames for each field.

import * as ascii from "../ascii.js";
import { asciiBytes, equalsIgnoringCase, rangesEqualIgnoringCase, trimEnd, trimStart } from "../ascii.js";
import { HTTP_ERRORS, type HttpError } from "../errors.js";
import * as names from "../field-names.js";
import * as layout from "../head.js";
import type { MessageHead } from "../head.js";

// Local copies: see ascii.ts.
const { COMMA, TOKEN_LOWER } = ascii;
const { FIELD_ID, FIELD_STRIDE, VALUE_END, VALUE_START } = layout;

const CLOSE = asciiBytes("close");
const KEEP_ALIVE = asciiBytes("keep-alive");
const UPGRADE = asciiBytes("upgrade");

// What happens if Connection names a field. A client could use it to strip a field that this node, the next one or the
// service relies on for framing, routing or identity; such a message is refused.
const NAMED_DROP = 0;
const NAMED_HOP_BY_HOP = 1;
const NAMED_REFUSE = 2;
const NAMED: Uint8Array = new Uint8Array(names.FIELD_NAMES.length);
for (const id of [
  names.FIELD_CONNECTION,
  names.FIELD_KEEP_ALIVE,
  names.FIELD_TE,
  names.FIELD_UPGRADE,
  names.FIELD_PROXY_CONNECTION,
  names.FIELD_PROXY_AUTHENTICATE,
  names.FIELD_PROXY_AUTHORIZATION,
  names.FIELD_HTTP2_SETTINGS,
]) {
  NAMED[id] = NAMED_HOP_BY_HOP;
}
for (const id of [
  names.FIELD_HOST,
  names.FIELD_CONTENT_LENGTH,
  names.FIELD_TRANSFER_ENCODING,
  names.FIELD_EXPECT,
  names.FIELD_AUTHORIZATION,
  names.FIELD_COOKIE,
  names.FIELD_CONTENT_ENCODING,
  names.FIELD_CONTENT_TYPE,
  names.FIELD_FORWARDED,
  names.FIELD_X_REAL_IP,
  names.FIELD_X_FORWARDED_FOR,
  names.FIELD_X_FORWARDED_PROTO,
  names.FIELD_X_FORWARDED_HOST,
  names.FIELD_X_PIKO_ENDPOINT,
  names.FIELD_X_PIKO_FORWARD,
  names.FIELD_X_PIKO_HOP,
  names.FIELD_X_PIKO_AUTHORIZATION,
  names.FIELD_X_PIKO_TENANT_ID,
]) {
  NAMED[id] = NAMED_REFUSE;
}

/** Maximum length of a message's Connection values together. */
const MAX_CONNECTION_BYTES = 1024;

/** `upgrade` was listed. Kept separate from the flags of the head, which also require the Upgrade field. */
export const LISTS_UPGRADE = 1;
/** The value is refused; `head.error` has the reason. */
export const CONNECTION_INVALID = -1;

/** Adds the options of one Connection value to the head's flags. Returns 0, LISTS_UPGRADE or CONNECTION_INVALID. */
export function parseConnection(head: MessageHead, buffer: Uint8Array, start: number, end: number): number {
  let result = 0;
  head.connectionBytes += end - start;
  if (head.connectionBytes > MAX_CONNECTION_BYTES) {
    head.error = HTTP_ERRORS.CONNECTION;
    return CONNECTION_INVALID;
  }
  let i = start;
  while (i < end) {
    let next = i;
    while (next < end && buffer[next] !== COMMA) next++;
    const optionStart = trimStart(buffer, i, next);
    const optionEnd = trimEnd(buffer, optionStart, next);
    if (optionStart < optionEnd) {
      if (equalsIgnoringCase(buffer, optionStart, optionEnd, KEEP_ALIVE)) head.connectionKeepAlive = true;
      else if (equalsIgnoringCase(buffer, optionStart, optionEnd, CLOSE)) head.connectionClose = true;
      else if (equalsIgnoringCase(buffer, optionStart, optionEnd, UPGRADE)) result = LISTS_UPGRADE;
      else {
        const error = takeFieldName(head, buffer, optionStart, optionEnd);
        if (error !== undefined) {
          head.error = error;
          return CONNECTION_INVALID;
        }
      }
    }
    i = next + 1;
  }
  return result;
}

function takeFieldName(
  head: MessageHead,
  buffer: Uint8Array,
  start: number,
  end: number,
): HttpError | undefined {
  for (let i = start; i < end; i++) {
    if (TOKEN_LOWER[buffer[i] as number] === 0) return HTTP_ERRORS.CONNECTION;
  }
  const rule = NAMED[names.fieldId(buffer, start, end)];
  if (rule === NAMED_REFUSE) return HTTP_ERRORS.CONNECTION_NAMES_FIELD;
  if (rule === NAMED_DROP) head.connectionNamesFields = true;
  return undefined;
}

/** Whether any Connection field of the head lists the name `head.buffer[start, end)`. */
export function connectionNames(head: MessageHead, start: number, end: number): boolean {
  const { buffer, fields } = head;
  const limit = head.fieldCount * FIELD_STRIDE;
  for (let at = 0; at < limit; at += FIELD_STRIDE) {
    if (fields[at + FIELD_ID] !== names.FIELD_CONNECTION) continue;
    const valueEnd = fields[at + VALUE_END] as number;
    let i = fields[at + VALUE_START] as number;
    while (i < valueEnd) {
      let next = i;
      while (next < valueEnd && buffer[next] !== COMMA) next++;
      const optionStart = trimStart(buffer, i, next);
      const optionEnd = trimEnd(buffer, optionStart, next);
      if (rangesEqualIgnoringCase(buffer, optionStart, optionEnd, start, end)) return true;
      i = next + 1;
    }
  }
  return false;
}
