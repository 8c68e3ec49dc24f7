// Writes a parsed request head for the next hop: runs of unchanged lines are copied whole, hop-by-hop fields are left
// out, and what this hop adds comes last. Called by the proxy (to a tunnel or another node) and the agent (to the service).

import { asciiBytes } from "../ascii.js";
import { connectionNames } from "./connection-options.js";
import { copyAll, copyBytes } from "./copy-bytes.js";
import * as names from "../field-names.js";
import * as layout from "../head.js";
import type { RequestHead } from "../head.js";
import { HOP_BY_HOP, NODE_REQUEST_FIELDS } from "../hop-fields.js";
import type { RequestRewrite } from "../request-rewrite.js";
import { writeTarget } from "./write-target.js";

// Local copies: see ascii.ts.
const { FIELD_ID, FIELD_STRIDE, LINE_END, LINE_START, NAME_END, VALUE_END, VALUE_START } = layout;

// How fields are handled, by FIELD_* number. 0 (also for names without a number): copied unless Connection names the field.
const DROP = 1;
const DROP_UNLESS_NODE = 2;
const DROP_IF_CREDENTIAL = 8;
const DROP_UNLESS_NODE_OR_CREDENTIAL = 9;
const DROP_IF_FORWARDED_FOR = 3;
const DROP_IF_FORWARDED_PROTO = 4;
const DROP_IF_FORWARDED_HOST = 5;
const DROP_IF_WRITTEN = 6;
const DROP_IF_OLD = 7;
const DROP_IF_REQUEST_ID = 10;
const DROP_IF_TRACED = 11;
const DROP_IF_STATE_ENDS = 12;
const RULES: Uint8Array = new Uint8Array(names.FIELD_NAMES.length);
for (const id of [...HOP_BY_HOP, ...NODE_REQUEST_FIELDS, names.FIELD_HTTP2_SETTINGS, names.FIELD_UPGRADE]) {
  RULES[id] = DROP;
}
RULES[names.FIELD_AUTHORIZATION] = DROP_IF_CREDENTIAL;
RULES[names.FIELD_X_PIKO_AUTHORIZATION] = DROP_UNLESS_NODE_OR_CREDENTIAL;
RULES[names.FIELD_X_PIKO_TENANT_ID] = DROP_UNLESS_NODE;
RULES[names.FIELD_X_FORWARDED_FOR] = DROP_IF_FORWARDED_FOR;
RULES[names.FIELD_X_FORWARDED_PROTO] = DROP_IF_FORWARDED_PROTO;
RULES[names.FIELD_X_FORWARDED_HOST] = DROP_IF_FORWARDED_HOST;
RULES[names.FIELD_X_REQUEST_ID] = DROP_IF_REQUEST_ID;
RULES[names.FIELD_TRACEPARENT] = DROP_IF_TRACED;
RULES[names.FIELD_TRACESTATE] = DROP_IF_STATE_ENDS;
RULES[names.FIELD_HOST] = DROP_IF_WRITTEN;
RULES[names.FIELD_EXPECT] = DROP_IF_OLD;

const VERSION_LINE_END = asciiBytes(" HTTP/1.1\r\n");
const CRLF = asciiBytes("\r\n");
const COMMA_SPACE = asciiBytes(", ");
const HOST = asciiBytes("Host: ");
const UPGRADE = asciiBytes("Connection: Upgrade\r\nUpgrade: ");
const CLOSE = asciiBytes("Connection: close\r\n");
const CHUNKED = asciiBytes("Transfer-Encoding: chunked\r\n");
const TE_TRAILERS = asciiBytes("TE: trailers\r\n");
const FORWARD = asciiBytes("x-piko-forward: true\r\n");
const HOP = asciiBytes("x-piko-hop: ");
const CREDENTIAL = asciiBytes("x-piko-authorization: ");
const REROUTE = asciiBytes("x-piko-hop-capabilities: reroute\r\n");
const FORWARDED_FOR = asciiBytes("X-Forwarded-For: ");
const REQUEST_ID = asciiBytes("X-Request-Id: ");
const TRACE_PARENT = asciiBytes("traceparent: ");
const FORWARDED_PROTO = asciiBytes("X-Forwarded-Proto: ");
const FORWARDED_HOST = asciiBytes("X-Forwarded-Host: ");

/** More than the length of all the constants above. */
const FIXED_BYTES = 480;

/** An upper bound for what {@link writeRequestHead} writes. */
export function requestHeadCapacity(head: RequestHead, rewrite: RequestRewrite): number {
  let bytes = head.end - head.start + FIXED_BYTES;
  if (rewrite.forwardedFor !== undefined) bytes += rewrite.forwardedFor.length;
  if (rewrite.forwardedProto !== undefined) bytes += rewrite.forwardedProto.length;
  if (rewrite.forwardedHost !== undefined) bytes += rewrite.forwardedHost.length;
  if (rewrite.requestId !== undefined) bytes += rewrite.requestId.length;
  if (rewrite.trace !== undefined) bytes += rewrite.trace.traceParent.length;
  if (rewrite.hopSecret !== undefined) bytes += rewrite.hopSecret.length;
  if (rewrite.host !== undefined) bytes += rewrite.host.length;
  if (rewrite.pathPrefix !== undefined) bytes += rewrite.pathPrefix.length;
  if (rewrite.query !== undefined) bytes += rewrite.query.length;
  return bytes;
}

/**
 * Writes the head at `out[at]`, which must have room for {@link requestHeadCapacity} bytes. Returns the offset after the
 * blank line.
 */
export function writeRequestHead(
  head: RequestHead,
  out: Buffer,
  at: number,
  rewrite: RequestRewrite,
): number {
  const { buffer, fields } = head;
  const { host } = rewrite;
  const absolute = head.pathStart !== head.targetStart;
  const writesHost = absolute || head.hostEnd === 0 || host !== undefined;
  let runStart = head.start;
  if (
    head.minorVersion === 0 ||
    writesHost ||
    rewrite.pathPrefix !== undefined ||
    rewrite.query !== undefined
  ) {
    at = writeRequestLine(head, out, at, rewrite);
    runStart = head.fieldCount === 0 ? head.end - 2 : (fields[LINE_START] as number);
  }
  if (writesHost) {
    at = copyAll(HOST, out, at);
    if (host === undefined) at = copyBytes(buffer, head.hostStart, head.hostEnd, out, at);
    else at = copyAll(host, out, at);
    at = copyAll(CRLF, out, at);
  }
  const limit = head.fieldCount * FIELD_STRIDE;
  let foldForwardedFor = false;
  for (let record = 0; record < limit; record += FIELD_STRIDE) {
    const id = fields[record + FIELD_ID] as number;
    if (isKept(head, record, RULES[id] as number, rewrite, writesHost)) continue;
    if (id === names.FIELD_X_FORWARDED_FOR) foldForwardedFor = true;
    const lineStart = fields[record + LINE_START] as number;
    if (lineStart > runStart) at = copyBytes(buffer, runStart, lineStart, out, at);
    runStart = fields[record + LINE_END] as number;
  }
  if (head.end - 2 > runStart) at = copyBytes(buffer, runStart, head.end - 2, out, at);
  if (rewrite.forwardedFor !== undefined) {
    at = copyAll(FORWARDED_FOR, out, at);
    if (foldForwardedFor) at = foldValues(head, names.FIELD_X_FORWARDED_FOR, out, at);
    at = copyAll(rewrite.forwardedFor, out, at);
    at = copyAll(CRLF, out, at);
  }
  return writeAdditions(head, out, at, rewrite);
}

function isKept(
  head: RequestHead,
  record: number,
  rule: number,
  rewrite: RequestRewrite,
  writesHost: boolean,
): boolean {
  switch (rule) {
    case DROP:
      return false;
    case DROP_UNLESS_NODE:
      return rewrite.addForward;
    case DROP_UNLESS_NODE_OR_CREDENTIAL:
      return rewrite.addForward && rewrite.credentialField < 0;
    case DROP_IF_CREDENTIAL:
      return !isCredential(head, rewrite, names.FIELD_AUTHORIZATION);
    case DROP_IF_FORWARDED_FOR:
      return rewrite.forwardedFor === undefined;
    case DROP_IF_FORWARDED_PROTO:
      return rewrite.forwardedProto === undefined;
    case DROP_IF_FORWARDED_HOST:
      return rewrite.forwardedHost === undefined;
    case DROP_IF_REQUEST_ID:
      return rewrite.requestId === undefined;
    case DROP_IF_TRACED:
      return (rewrite.trace === undefined || rewrite.trace.passes) && isUnnamed(head, record);
    case DROP_IF_STATE_ENDS:
      return rewrite.trace?.keepsTraceState !== false && isUnnamed(head, record);
    case DROP_IF_WRITTEN:
      return !writesHost;
    case DROP_IF_OLD:
      return head.minorVersion === 1;
    default:
      return isUnnamed(head, record);
  }
}

/** Whether a field with this number authenticated the sender. */
function isCredential(head: RequestHead, { credentialField }: RequestRewrite, id: number): boolean {
  return credentialField >= 0 && head.fields[credentialField * FIELD_STRIDE + FIELD_ID] === id;
}

/** Whether Connection doesn't name the field. */
function isUnnamed(head: RequestHead, record: number): boolean {
  if (!head.connectionNamesFields) return true;
  return !connectionNames(
    head,
    head.fields[record + LINE_START] as number,
    head.fields[record + NAME_END] as number,
  );
}

function writeAdditions(head: RequestHead, out: Buffer, at: number, rewrite: RequestRewrite): number {
  if (rewrite.forwardedProto !== undefined) at = writeField(FORWARDED_PROTO, rewrite.forwardedProto, out, at);
  if (rewrite.forwardedHost !== undefined) at = writeField(FORWARDED_HOST, rewrite.forwardedHost, out, at);
  if (rewrite.requestId !== undefined) at = writeField(REQUEST_ID, rewrite.requestId, out, at);
  if (rewrite.trace !== undefined && !rewrite.trace.passes) {
    at = writeField(TRACE_PARENT, rewrite.trace.traceParent, out, at);
  }
  if (rewrite.addForward) {
    at = copyAll(FORWARD, out, at);
    if (rewrite.addReroute) at = copyAll(REROUTE, out, at);
    if (rewrite.hopSecret !== undefined) at = writeField(HOP, rewrite.hopSecret, out, at);
    if (rewrite.credentialField >= 0) {
      const record = rewrite.credentialField * FIELD_STRIDE;
      const valueStart = head.fields[record + VALUE_START] as number;
      at = copyAll(CREDENTIAL, out, at);
      at = copyBytes(head.buffer, valueStart, head.fields[record + VALUE_END] as number, out, at);
      at = copyAll(CRLF, out, at);
    }
  }
  if (head.chunked) at = copyAll(CHUNKED, out, at);
  if (head.teTrailers) at = copyAll(TE_TRAILERS, out, at);
  if (head.upgrade) {
    const record = head.upgradeField * FIELD_STRIDE;
    const valueStart = head.fields[record + VALUE_START] as number;
    at = copyAll(UPGRADE, out, at);
    at = copyBytes(head.buffer, valueStart, head.fields[record + VALUE_END] as number, out, at);
    at = copyAll(CRLF, out, at);
  } else if (rewrite.connectionClose) {
    at = copyAll(CLOSE, out, at);
  }
  return copyAll(CRLF, out, at);
}

function writeField(name: Buffer, value: Buffer, out: Buffer, at: number): number {
  return copyAll(CRLF, out, copyAll(value, out, copyAll(name, out, at)));
}

/** Writes all non-empty values of a field, each followed by a comma. */
function foldValues(head: RequestHead, id: number, out: Buffer, at: number): number {
  const { buffer, fields } = head;
  const limit = head.fieldCount * FIELD_STRIDE;
  for (let record = 0; record < limit; record += FIELD_STRIDE) {
    if (fields[record + FIELD_ID] !== id) continue;
    const valueStart = fields[record + VALUE_START] as number;
    const valueEnd = fields[record + VALUE_END] as number;
    if (valueStart === valueEnd) continue;
    at = copyAll(COMMA_SPACE, out, copyBytes(buffer, valueStart, valueEnd, out, at));
  }
  return at;
}

function writeRequestLine(head: RequestHead, out: Buffer, at: number, rewrite: RequestRewrite): number {
  at = copyBytes(head.buffer, head.start, head.targetStart, out, at);
  return copyAll(VERSION_LINE_END, out, writeTarget(head, out, at, rewrite));
}
