// Finds the endpoint for a host name: host names are case-insensitive, endpoint ids aren't.

import type { Identity } from "../../auth/identity.js";
import type { ProxyContext } from "./proxy-context.js";

/**
 * Where there is no endpoint as the host spells it, the one in lower case is meant (RFC 9110 section 4.2.3). `identity`: who
 * asks; where there is neither, the one that they may call is meant.
 */
export function servedEndpointId(
  endpointId: string,
  identity: Identity | undefined,
  context: ProxyContext,
): string {
  const lower = endpointId.toLowerCase();
  if (lower === endpointId || isKnown(endpointId, context)) return endpointId;
  const meant = isKnown(lower, context) || identity?.permits(endpointId) === false;
  return meant ? lower : endpointId;
}

/** Something listens on the endpoint, here or elsewhere, or did a moment ago. */
function isKnown(endpointId: string, { cluster, upstreams }: ProxyContext): boolean {
  if (upstreams.find(endpointId) !== undefined || upstreams.waits.remembers(endpointId)) return true;
  return cluster?.table.hasEndpoint(endpointId) === true;
}
