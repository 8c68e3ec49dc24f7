// Whether a request comes from another node.

import { FIELD_X_PIKO_FORWARD } from "../../http1/field-names.js";
import { findField } from "../../http1/find-field.js";
import type { RequestHead } from "../../http1/head.js";

/** A request that another node has sent on goes no further: one hop. The value is Go Piko's, exactly. */
export function isForwarded(head: RequestHead): boolean {
  return findField(head, FIELD_X_PIKO_FORWARD) === "true";
}
