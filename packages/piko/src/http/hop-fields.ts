// Fields that no hop passes on, whichever protocol it speaks on either side.

import * as names from "./field-names.js";

/** Fields that belong to one connection (RFC 9110 section 7.6.1), by FIELD_* number. Each writer handles Upgrade itself. */
export const HOP_BY_HOP: readonly number[] = [
  names.FIELD_CONNECTION,
  names.FIELD_KEEP_ALIVE,
  names.FIELD_PROXY_CONNECTION,
  names.FIELD_PROXY_AUTHENTICATE,
  names.FIELD_PROXY_AUTHORIZATION,
  names.FIELD_TE,
  names.FIELD_TRANSFER_ENCODING,
];

/** Response fields that are trusted because only a node sends them; they are removed from a service's responses. */
export const NODE_RESPONSE_FIELDS: readonly number[] = [
  names.FIELD_X_PIKO_REROUTE,
  names.FIELD_X_PIKO_CAPABILITIES,
];

/** Request fields between nodes. Each hop sets its own, or none. */
export const NODE_REQUEST_FIELDS: readonly number[] = [
  names.FIELD_X_PIKO_FORWARD,
  names.FIELD_X_PIKO_HOP_CAPABILITIES,
  names.FIELD_X_PIKO_HOP,
];
