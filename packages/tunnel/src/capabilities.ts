// The capabilities that peers announce in `x-piko-capabilities`, in an upgrade request or its 101. Go peers announce nothing.

export const CAPABILITIES_FIELD = "x-piko-capabilities";

/** For upstream tunnels: an agent that is asked to move opens the replacement first, and streams have half-closes. */
export const DRAIN = "drain";

/**
 * For one client's connection: each direction ends separately, in a WebSocket by a Close frame, while the other continues. A
 * connection that closes without that was cut.
 */
export const HALF_CLOSE = "half-close";

/** Whether the list in a field's value contains a capability. */
export function hasCapability(value: string | undefined, capability: string): boolean {
  return value?.split(",").some((name) => name.trim().toLowerCase() === capability) ?? false;
}
