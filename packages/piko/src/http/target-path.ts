// The path of a request as logs show it.

import type { RequestHead } from "./head.js";

const QUESTION_MARK = 0x3f;

/** Where the path ends, without its query, which may hold secrets. */
export function targetPathEnd(head: RequestHead): number {
  const { buffer, pathEnd } = head;
  for (let i = head.pathStart; i < pathEnd; i++) if (buffer[i] === QUESTION_MARK) return i;
  return pathEnd;
}
