// Which protocol a connection may switch to: a 101 may only agree to what was asked for. Both nodes and agents check this
// before they pass on raw bytes.

import { FIELD_UPGRADE } from "./field-names.js";
import { findField } from "./find-field.js";
import type { RequestHead, ResponseHead } from "./head.js";

/** The protocols that a request asks for, in lower case; empty if it asks for none. */
export function askedProtocols(head: RequestHead): string {
  return head.upgrade ? (findField(head, FIELD_UPGRADE) ?? "").toLowerCase() : "";
}

/**
 * Whether a 101 switches to protocols that were asked for, and to at least one (RFC 9110 sections 7.8 and 15.2.2). One
 * that names none never does: otherwise a service could take the connection of any client, and its next requests.
 */
export function switchesTo(asked: string, head: ResponseHead): boolean {
  if (asked === "" || !head.upgrade) return false;
  const offers = new Set(asked.split(",").map((protocol) => protocol.trim()));
  offers.delete("");
  const chosen = (findField(head, FIELD_UPGRADE) ?? "").toLowerCase().split(",");
  return chosen.every((protocol) => offers.has(protocol.trim()));
}
