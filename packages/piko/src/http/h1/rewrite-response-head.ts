// Writes a parsed response head for the next hop. Called by the agent (service to tunnel) and the proxy (tunnel to
// client). The reason phrase, and the order and case of the fields, stay as the service sent them; white space before
// colons is removed.

import { CAPABILITIES_FIELD, HALF_CLOSE } from "@piko/tunnel";
import * as ascii from "../ascii.js";
import { asciiBytes } from "../ascii.js";
import { mayHaveBody } from "../body-framing.js";
import { connectionNames } from "./connection-options.js";
import { copyAll, copyBytes } from "./copy-bytes.js";
import * as names from "../field-names.js";
import * as layout from "../head.js";
import type { ResponseHead } from "../head.js";
import { HOP_BY_HOP, NODE_RESPONSE_FIELDS } from "../hop-fields.js";

// Local copies: see ascii.ts.
const { COLON } = ascii;
const { FIELD_ID, FIELD_STRIDE, LINE_END, LINE_START, NAME_END, VALUE_END, VALUE_START } = layout;

/** Content-Length and Transfer-Encoding as the service sent them. */
export const FRAMING_AS_IS = 0;
/** Neither field: there is no body, or it ends with its connection, as bodies of unknown length do for HTTP/1.0 clients. */
export const FRAMING_NONE = 1;
/** `Transfer-Encoding: chunked`, for a body of unknown length. */
export const FRAMING_CHUNKED = 2;

/** What a hop changes in a response head. */
export interface ResponseRewrite {
  /** One of the FRAMING_* numbers. A 1xx or 204 never has framing fields. */
  framing: number;
  /** Adds `Connection: close`. */
  connectionClose: boolean;
  /** Adds `Connection: keep-alive`, which an HTTP/1.0 client requires. */
  keepAliveHttp10: boolean;
  /** A complete `Date: ...\r\n` line, for a final response without one. */
  dateLine: Buffer | undefined;
  /** For a 101: announces that each direction of the connection ends separately, all the way to its end (decision 004). */
  halfClose: boolean;
  /** The response comes from a service, whose `x-piko-reason` isn't trusted. */
  fromService: boolean;
}

/** In a response with this status, Upgrade lists the protocols that would be accepted (RFC 9110 section 15.5.22). */
const UPGRADE_REQUIRED = 426;

// How fields are handled, by FIELD_* number. 0 (also for names without a number): copied unless Connection names the field.
const DROP = 1;
const DROP_LENGTH = 2;
const DROP_UPGRADE = 3;
const DROP_FROM_SERVICE = 4;
const RULES: Uint8Array = new Uint8Array(names.FIELD_NAMES.length);
for (const id of [...HOP_BY_HOP, ...NODE_RESPONSE_FIELDS]) RULES[id] = DROP;
RULES[names.FIELD_CONTENT_LENGTH] = DROP_LENGTH;
RULES[names.FIELD_UPGRADE] = DROP_UPGRADE;
RULES[names.FIELD_X_PIKO_REASON] = DROP_FROM_SERVICE;

const CRLF = asciiBytes("\r\n");
const VERSION = asciiBytes("HTTP/1.1 ");
const UPGRADE = asciiBytes("Connection: Upgrade\r\nUpgrade: ");
const UPGRADE_OPTION = asciiBytes("Connection: Upgrade\r\n");
const CLOSE = asciiBytes("Connection: close\r\n");
const KEEP_ALIVE = asciiBytes("Connection: keep-alive\r\n");
const CHUNKED = asciiBytes("Transfer-Encoding: chunked\r\n");
const HALF_CLOSES = asciiBytes(`${CAPABILITIES_FIELD}: ${HALF_CLOSE}\r\n`);

/** More than the length of all the constants above. */
const FIXED_BYTES = 192;

/** An upper bound for what {@link writeResponseHead} writes. */
export function responseHeadCapacity(head: ResponseHead, rewrite: ResponseRewrite): number {
  return head.end - head.start + FIXED_BYTES + (rewrite.dateLine === undefined ? 0 : rewrite.dateLine.length);
}

/**
 * Writes the head at `out[at]`, which must have room for {@link responseHeadCapacity} bytes. Returns the offset after the
 * blank line.
 */
export function writeResponseHead(
  head: ResponseHead,
  out: Buffer,
  at: number,
  rewrite: ResponseRewrite,
): number {
  const { buffer, fields, status } = head;
  const bodiless = !mayHaveBody(status) && status !== 304;
  const framing = bodiless ? FRAMING_NONE : rewrite.framing;
  let runStart = head.start;
  // The whole line is copied, except for an old version or a missing space after the status.
  if (head.minorVersion === 0 || head.reasonStart === head.start + VERSION.length + 3) {
    at = copyAll(VERSION, out, at);
    at = copyBytes(buffer, head.start + VERSION.length, head.start + VERSION.length + 3, out, at);
    out[at++] = 0x20;
    runStart = head.reasonStart;
  }
  const limit = head.fieldCount * FIELD_STRIDE;
  for (let record = 0; record < limit; record += FIELD_STRIDE) {
    if (isKept(head, record, RULES[fields[record + FIELD_ID] as number] as number, framing, rewrite)) {
      const nameEnd = fields[record + NAME_END] as number;
      if (buffer[nameEnd] === COLON) continue;
      at = copyBytes(buffer, runStart, nameEnd, out, at);
      runStart = nameEnd;
      while (buffer[runStart] !== COLON) runStart++;
      continue;
    }
    const lineStart = fields[record + LINE_START] as number;
    if (lineStart > runStart) at = copyBytes(buffer, runStart, lineStart, out, at);
    runStart = fields[record + LINE_END] as number;
  }
  if (head.end - 2 > runStart) at = copyBytes(buffer, runStart, head.end - 2, out, at);
  if (framing === FRAMING_CHUNKED || (framing === FRAMING_AS_IS && head.chunked))
    at = copyAll(CHUNKED, out, at);
  if (!head.hasDate && status >= 200 && rewrite.dateLine !== undefined)
    at = copyAll(rewrite.dateLine, out, at);
  return copyAll(CRLF, out, writeConnection(head, out, at, rewrite));
}

function isKept(
  head: ResponseHead,
  record: number,
  rule: number,
  framing: number,
  { fromService }: ResponseRewrite,
): boolean {
  if (rule === DROP || (rule === DROP_FROM_SERVICE && fromService)) return false;
  if (rule === DROP_LENGTH) return framing === FRAMING_AS_IS;
  if (rule === DROP_UPGRADE) return head.status === UPGRADE_REQUIRED;
  if (!head.connectionNamesFields) return true;
  return !connectionNames(
    head,
    head.fields[record + LINE_START] as number,
    head.fields[record + NAME_END] as number,
  );
}

function writeConnection(head: ResponseHead, out: Buffer, at: number, rewrite: ResponseRewrite): number {
  if (head.status === 101) {
    if (rewrite.halfClose) at = copyAll(HALF_CLOSES, out, at);
    if (head.upgradeField === -1) return at;
    const record = head.upgradeField * FIELD_STRIDE;
    const valueStart = head.fields[record + VALUE_START] as number;
    at = copyAll(UPGRADE, out, at);
    at = copyBytes(head.buffer, valueStart, head.fields[record + VALUE_END] as number, out, at);
    return copyAll(CRLF, out, at);
  }
  if (head.status < 200) return at;
  if (head.status === UPGRADE_REQUIRED && head.upgradeField !== -1) at = copyAll(UPGRADE_OPTION, out, at);
  if (rewrite.connectionClose) return copyAll(CLOSE, out, at);
  return rewrite.keepAliveHttp10 ? copyAll(KEEP_ALIVE, out, at) : at;
}
