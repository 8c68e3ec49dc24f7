// Finds the endpoint for a host name: host names are case-insensitive, endpoint ids aren't.

import type { Identity } from "../../auth/identity.js";
import type { ProxyContext } from "./proxy-context.js";

/**
 * The endpoint that `endpointId`, as spelled in the host, stands for: if it doesn't exist, the one in lower case (RFC 9110
 * section 4.2.3). If neither exists, the one that `identity`, the sender, may use.
 */
export function servedEndpointId(
  endpointId: string,
  identity: Identity | undefined,
  context: ProxyContext,
): string {
  const lower = endpointId.toLowerCase();
  if (lower === endpointId || isKnown(endpointId, context)) return endpointId;
  const useLower = isKnown(lower, context) || identity?.permits(endpointId) === false;
  return useLower ? lower : endpointId;
}

/** Whether the endpoint has listeners, here or on another node, or had some a moment ago. */
function isKnown(endpointId: string, { cluster, upstreams }: ProxyContext): boolean {
  if (upstreams.find(endpointId) !== undefined || upstreams.waits.remembers(endpointId)) return true;
  return cluster?.table.hasEndpoint(endpointId) === true;
}
