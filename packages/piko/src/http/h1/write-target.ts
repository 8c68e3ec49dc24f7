// The target of a request in origin form (RFC 9112 section 3.2) for the next hop: it begins with the path of the service's
// URL, and the URL's query precedes the request's own.

import * as ascii from "../ascii.js";
import type { RequestHead } from "../head.js";
import type { RequestTarget } from "../request-rewrite.js";
import { copyBytes } from "./copy-bytes.js";

// Local copies: see ascii.ts.
const { QUESTION_MARK, SLASH } = ascii;

const AMPERSAND = 0x26;
const ASTERISK = 0x2a;
/** For a slash, a question mark, and an ampersand. */
const SEPARATORS_BYTES = 3;

/** Whether the target differs from the path that was received. */
export function isRewritten({ buffer, pathEnd, pathStart }: RequestHead, target: RequestTarget): boolean {
  return (
    target.pathPrefix !== undefined ||
    target.query !== undefined ||
    pathStart === pathEnd ||
    buffer[pathStart] === QUESTION_MARK
  );
}

/** An upper bound for what {@link writeTarget} writes. */
export function requestTargetCapacity(head: RequestHead, target: RequestTarget): number {
  let bytes = head.pathEnd - head.pathStart + SEPARATORS_BYTES;
  if (target.pathPrefix !== undefined) bytes += target.pathPrefix.length;
  if (target.query !== undefined) bytes += target.query.length;
  return bytes;
}

/** Writes the target at `out[at]`. Returns the offset after it. */
export function writeTarget(head: RequestHead, out: Buffer, at: number, target: RequestTarget): number {
  const { buffer, pathStart, pathEnd } = head;
  const hasPath = pathStart < pathEnd && buffer[pathStart] !== QUESTION_MARK;
  // The asterisk form has no path that could be joined.
  if (hasPath && buffer[pathStart] !== SLASH) return copyBytes(buffer, pathStart, pathEnd, out, at);
  if (pathStart === pathEnd && head.method === "OPTIONS") {
    // RFC 9112 section 3.2.4: an absolute target without a path means the server as a whole.
    out[at] = ASTERISK;
    return at + 1;
  }
  if (target.pathPrefix !== undefined) at = writePrefix(target.pathPrefix, out, at);
  if (!hasPath) out[at++] = SLASH;
  if (target.query === undefined || target.query.length === 0) {
    return copyBytes(buffer, pathStart, pathEnd, out, at);
  }
  return writeJoinedQuery(head, target.query, out, at);
}

/** Writes the prefix without its last slash; the request's path starts with one. */
function writePrefix(prefix: Buffer, out: Buffer, at: number): number {
  const length = prefix.length > 0 && prefix[prefix.length - 1] === SLASH ? prefix.length - 1 : prefix.length;
  return copyBytes(prefix, 0, length, out, at);
}

function writeJoinedQuery(head: RequestHead, query: Buffer, out: Buffer, at: number): number {
  const { buffer, pathStart, pathEnd } = head;
  let mark = pathStart;
  while (mark < pathEnd && buffer[mark] !== QUESTION_MARK) mark++;
  at = copyBytes(buffer, pathStart, mark, out, at);
  out[at++] = QUESTION_MARK;
  at = copyBytes(query, 0, query.length, out, at);
  if (mark + 1 < pathEnd) {
    out[at++] = AMPERSAND;
    at = copyBytes(buffer, mark + 1, pathEnd, out, at);
  }
  return at;
}
