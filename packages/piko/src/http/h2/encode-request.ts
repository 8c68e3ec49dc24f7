// Encodes the head of an HTTP/1.1 request as a header block for a service (RFC 9113 section 8.3.1).

import * as ascii from "../ascii.js";
import * as names from "../field-names.js";
import { connectionNames } from "../h1/connection-options.js";
import { isRewritten, requestTargetCapacity, writeTarget } from "../h1/write-target.js";
import * as layout from "../head.js";
import type { RequestHead } from "../head.js";
import { HOP_BY_HOP, NODE_REQUEST_FIELDS } from "../hop-fields.js";
import type { RequestTarget } from "../request-rewrite.js";
import { Scratch } from "../../net/scratch.js";
import { encodeField, encodePseudoField, FIELD_EXTRA_BYTES } from "./hpack-encoder.js";

// Local copies: see ascii.ts.
const { asciiBytes } = ascii;
const { FIELD_ID, FIELD_STRIDE, LINE_START, NAME_END, VALUE_END, VALUE_START } = layout;

// How fields are handled, by FIELD_* number. 0 (also for names without a number): written unless Connection names the field.
const DROP = 1;
const SECRET = 2;
const TRACE_PARENT = 3;
const TRACE_STATE = 4;
const RULES: Uint8Array = new Uint8Array(names.FIELD_NAMES.length);
for (const id of [
  ...HOP_BY_HOP,
  ...NODE_REQUEST_FIELDS,
  names.FIELD_HOST,
  names.FIELD_HTTP2_SETTINGS,
  names.FIELD_UPGRADE,
  names.FIELD_X_PIKO_AUTHORIZATION,
  names.FIELD_X_PIKO_TENANT_ID,
]) {
  RULES[id] = DROP;
}
// Secrets that an attacker who can make a client send other fields as well must not be able to guess (RFC 7541 section 7.1.3).
RULES[names.FIELD_AUTHORIZATION] = SECRET;
RULES[names.FIELD_COOKIE] = SECRET;
RULES[names.FIELD_TRACEPARENT] = TRACE_PARENT;
RULES[names.FIELD_TRACESTATE] = TRACE_STATE;

const HTTP = asciiBytes("http");
const HTTPS = asciiBytes("https");
const TRACEPARENT = asciiBytes("traceparent");
const TE = asciiBytes("te");
const TRAILERS = asciiBytes("trailers");

/** Size of the names and values that aren't copied from the head (traceparent is one), with a length for each. */
const FIXED_BYTES = 256;
const PSEUDO_FIELDS = 5;

/** Used within one head only. */
const scratch = new Scratch();

/** An upper bound for what {@link encodeRequestHead} writes. */
export function requestFieldsCapacity(head: RequestHead, target: RequestTarget): number {
  const host = target.host === undefined ? 0 : target.host.length;
  const fields = (head.fieldCount + PSEUDO_FIELDS) * FIELD_EXTRA_BYTES;
  return head.end - head.start + fields + FIXED_BYTES + host + requestTargetCapacity(head, target);
}

/** Writes the head at `out[at]`. `secure`: the connection to the service uses TLS. Returns the offset after the head. */
export function encodeRequestHead(
  head: RequestHead,
  target: RequestTarget,
  secure: boolean,
  out: Uint8Array,
  at: number,
): number {
  const { buffer, fields, hostEnd, hostStart } = head;
  const { host } = target;
  const trace = target.trace?.passes === true ? undefined : target.trace;
  const scheme = secure ? HTTPS : HTTP;
  at = encodePseudoField(out, at, ":method", buffer, head.start, head.targetStart - 1);
  at = encodePseudoField(out, at, ":scheme", scheme, 0, scheme.length);
  at = writePath(head, target, out, at);
  if (host !== undefined) at = encodePseudoField(out, at, ":authority", host, 0, host.length);
  else if (hostEnd > hostStart) at = encodePseudoField(out, at, ":authority", buffer, hostStart, hostEnd);
  const limit = head.fieldCount * FIELD_STRIDE;
  for (let record = 0; record < limit; record += FIELD_STRIDE) {
    const rule = RULES[fields[record + FIELD_ID] as number] as number;
    if (rule === DROP) continue;
    if (rule === TRACE_PARENT && trace !== undefined) continue;
    if (rule === TRACE_STATE && trace?.keepsTraceState === false) continue;
    const nameStart = fields[record + LINE_START] as number;
    const nameEnd = fields[record + NAME_END] as number;
    if (head.connectionNamesFields && connectionNames(head, nameStart, nameEnd)) continue;
    at = encodeField(
      out,
      at,
      buffer,
      nameStart,
      nameEnd,
      buffer,
      fields[record + VALUE_START] as number,
      fields[record + VALUE_END] as number,
      rule === SECRET,
    );
  }
  if (trace !== undefined) {
    const { traceParent } = trace;
    at = encodeField(out, at, TRACEPARENT, 0, TRACEPARENT.length, traceParent, 0, traceParent.length, false);
  }
  if (!head.teTrailers) return at;
  return encodeField(out, at, TE, 0, TE.length, TRAILERS, 0, TRAILERS.length, false);
}

function writePath(head: RequestHead, target: RequestTarget, out: Uint8Array, at: number): number {
  if (!isRewritten(head, target)) {
    return encodePseudoField(out, at, ":path", head.buffer, head.pathStart, head.pathEnd);
  }
  const written = scratch.take(requestTargetCapacity(head, target));
  return encodePseudoField(out, at, ":path", written, 0, writeTarget(head, written, 0, target));
}
