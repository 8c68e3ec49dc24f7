// Which protocol a connection may switch to: a 101 may only agree to what the request asked for. Both nodes and agents check
// this before they pass on raw bytes.

import { FIELD_UPGRADE } from "./field-names.js";
import { findField } from "./find-field.js";
import type { RequestHead, ResponseHead } from "./head.js";

/** The protocols that a request asks to switch to, in lower case; empty if none. */
export function requestedProtocols(head: RequestHead): string {
  return head.upgrade ? (findField(head, FIELD_UPGRADE) ?? "").toLowerCase() : "";
}

/**
 * Whether a 101 switches to at least one protocol, and only to requested ones (RFC 9110 sections 7.8 and 15.2.2). A 101
 * that names none is never accepted: otherwise a service could take over any client's connection, and its next requests.
 */
export function switchesTo(asked: string, head: ResponseHead): boolean {
  if (asked === "" || !head.upgrade) return false;
  const offers = new Set(asked.split(",").map((protocol) => protocol.trim()));
  offers.delete("");
  const chosen = (findField(head, FIELD_UPGRADE) ?? "").toLowerCase().split(",");
  return chosen.every((protocol) => offers.has(protocol.trim()));
}
