// The path of a request as logs show it.

import type { RequestHead } from "./head.js";

/** The path without its query, which may hold secrets. Characters are bytes (latin1). */
export function targetPath(head: RequestHead): string {
  const path = head.buffer.toString("latin1", head.pathStart, head.pathEnd);
  const query = path.indexOf("?");
  if (query === 0 || path === "") return "/";
  return query > 0 ? path.slice(0, query) : path;
}
