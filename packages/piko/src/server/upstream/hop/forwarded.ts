// The header fields that nodes add to requests that they send to each other.

import { hasCapability } from "@piko/tunnel";
import {
  FIELD_X_PIKO_FORWARD,
  FIELD_X_PIKO_HOP_CAPABILITIES,
  FIELD_X_PIKO_REROUTE,
} from "../../../http/field-names.js";
import { findField } from "../../../http/find-field.js";
import type { RequestHead, ResponseHead } from "../../../http/head.js";

/** A request with this field goes to no other node: one hop. Anybody may say so. The value is Go Piko's, exactly. */
export function isForwarded(head: RequestHead): boolean {
  return findField(head, FIELD_X_PIKO_FORWARD) === "true";
}

/**
 * Whether whoever sends a request on takes it back when it is better served elsewhere. Nodes of ours say so, and pass no
 * client's word on; it counts from a node's address only.
 */
export function takesBack(head: RequestHead): boolean {
  return hasCapability(findField(head, FIELD_X_PIKO_HOP_CAPABILITIES), "reroute");
}

const REROUTE = "x-piko-reroute";

/** In the 502 to another node's request for an endpoint without listeners here: no service has seen the request. */
export const REROUTE_FIELD: string = `${REROUTE}: true\r\n`;

/** In the 502 to a node that takes it back: there are tunnels here, but another node has better ones. */
export const ELSEWHERE_FIELD: string = `${REROUTE}: elsewhere\r\n`;

/** Whether an answer with these field lines is meant for another node, and its client won't see it. */
export function isForNodes(fields: string): boolean {
  return fields === REROUTE_FIELD || fields === ELSEWHERE_FIELD;
}

/** What a node sends back: nothing, a request for an endpoint that it hasn't, or one that is better served elsewhere. */
export type Rerouted = "no" | "gone" | "elsewhere";

/** Whether another node sends the request back, so that it can go elsewhere. Go nodes never do. */
export function reroutedBy(head: ResponseHead): Rerouted {
  if (head.status !== 502) return "no";
  const value = findField(head, FIELD_X_PIKO_REROUTE);
  return value === "true" ? "gone" : value === "elsewhere" ? "elsewhere" : "no";
}
