// What nodes tell each other in the fields of a request that one of them sends on.

import { FIELD_X_PIKO_FORWARD } from "../../../http/field-names.js";
import { findField, findNamedField } from "../../../http/find-field.js";
import type { RequestHead, ResponseHead } from "../../../http/head.js";

/** A request with this field goes to no other node: one hop. Anybody may say so. The value is Go Piko's, exactly. */
export function isForwarded(head: RequestHead): boolean {
  return findField(head, FIELD_X_PIKO_FORWARD) === "true";
}

const REROUTE = "x-piko-reroute";

/** In the 502 to another node's request for an endpoint that nobody listens on here (any more): no service has seen it. */
export const REROUTE_FIELD: string = `${REROUTE}: true\r\n`;

/** Whether another node says that its endpoint has gone, so that the request can go elsewhere. Go nodes don't say so. */
export function isReroute(head: ResponseHead): boolean {
  return head.status === 502 && findNamedField(head, REROUTE) === "true";
}
