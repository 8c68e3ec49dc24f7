// Whether a message announces in `x-piko-capabilities` that each direction of its connection ends separately (decision 004).

import { HALF_CLOSE, hasCapability } from "@piko/tunnel";
import { FIELD_X_PIKO_CAPABILITIES } from "./field-names.js";
import { findField } from "./find-field.js";
import type { MessageHead } from "./head.js";

export function announcesHalfClose(head: MessageHead): boolean {
  return hasCapability(findField(head, FIELD_X_PIKO_CAPABILITIES), HALF_CLOSE);
}
