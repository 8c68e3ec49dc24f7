// Checks the origin of a WebSocket request: a browser sends the page's origin, and pages of other sites are refused.

import { findNamedField } from "./find-field.js";
import type { RequestHead } from "./head.js";

const ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/([^/?#@\s]+)$/i;

/** Whether a request has no origin, or that of the requested host. The origin `null` never matches (RFC 6454). */
export function isSameOrigin(head: RequestHead): boolean {
  const origin = findNamedField(head, "origin");
  if (origin === undefined) return true;
  const host = head.buffer.toString("latin1", head.hostStart, head.hostEnd);
  return ORIGIN.exec(origin)?.[1]?.toLowerCase() === host.toLowerCase();
}
