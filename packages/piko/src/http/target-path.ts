// The path of a request as it is logged.

import type { RequestHead } from "./head.js";

const QUESTION_MARK = 0x3f;

/** The end of the path, which excludes the query because it may contain secrets. */
export function targetPathEnd(head: RequestHead): number {
  const { buffer, pathEnd } = head;
  for (let i = head.pathStart; i < pathEnd; i++) if (buffer[i] === QUESTION_MARK) return i;
  return pathEnd;
}
