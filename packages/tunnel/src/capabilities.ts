// What our peers announce in `x-piko-capabilities`, in an upgrade request or its 101. Go peers announce nothing.

export const CAPABILITIES_FIELD = "x-piko-capabilities";

/** Of upstream tunnels: asked to go, the agent opens the replacement first; and streams have half-closes. */
export const DRAIN = "drain";

/**
 * Of one client's connection: each direction is ended by itself, in a WebSocket by a Close frame, while the other continues.
 * What is over without that was cut.
 */
export const HALF_CLOSE = "half-close";

/** Whether a field's value has a capability in its list. */
export function hasCapability(value: string | undefined, capability: string): boolean {
  return value?.split(",").some((name) => name.trim().toLowerCase() === capability) ?? false;
}
