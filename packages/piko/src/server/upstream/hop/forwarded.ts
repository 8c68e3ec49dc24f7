// The header fields that nodes add to requests and responses between them.

import { hasCapability } from "@piko/tunnel";
import {
  FIELD_X_PIKO_FORWARD,
  FIELD_X_PIKO_HOP_CAPABILITIES,
  FIELD_X_PIKO_REROUTE,
} from "../../../http/field-names.js";
import { findField } from "../../../http/find-field.js";
import type { RequestHead, ResponseHead } from "../../../http/head.js";

/** Whether a request is marked as forwarded, so that it makes no further hop. Any client may send this. The value is Go Piko's. */
export function isForwarded(head: RequestHead): boolean {
  return findField(head, FIELD_X_PIKO_FORWARD) === "true";
}

/**
 * Whether the sender of a request accepts it back if another node has better tunnels. Our nodes announce that and remove this
 * field from clients' requests. The caller must check that the sender is a node.
 */
export function mayReroute(head: RequestHead): boolean {
  return hasCapability(findField(head, FIELD_X_PIKO_HOP_CAPABILITIES), "reroute");
}

const REROUTE = "x-piko-reroute";

/** Field of the 502 to another node's request for an endpoint without listeners here: no service has seen the request. */
export const REROUTE_FIELD: string = `${REROUTE}: true\r\n`;

/** Field of the 502 to a node that accepts its request back: there are tunnels here, but another node has better ones. */
export const ELSEWHERE_FIELD: string = `${REROUTE}: elsewhere\r\n`;

/** Whether a response with these field lines is meant for another node; no client sees it. */
export function isForNodes(fields: string): boolean {
  return fields === REROUTE_FIELD || fields === ELSEWHERE_FIELD;
}

/** Whether a node sends a request back: no, because it doesn't have the endpoint, or because another node has better tunnels. */
export type Rerouted = "no" | "gone" | "elsewhere";

/** Whether and why another node sends the request back, so that it can go elsewhere. Go nodes never do. */
export function reroutedBy(head: ResponseHead): Rerouted {
  if (head.status !== 502) return "no";
  const value = findField(head, FIELD_X_PIKO_REROUTE);
  return value === "true" ? "gone" : value === "elsewhere" ? "elsewhere" : "no";
}
