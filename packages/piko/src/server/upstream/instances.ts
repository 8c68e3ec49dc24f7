// Which listeners have a tunnel here. Our agents name the listener in each upgrade request, so that a node can refuse a second
// tunnel of a listener that looks for another node.

import type { Tunnel } from "./tunnel.js";

/** Maximum length of an instance. */
export const MAX_INSTANCE_BYTES = 64;

/** Whether a value of `x-piko-instance` is valid: 1 to {@link MAX_INSTANCE_BYTES} visible ASCII characters. */
export function isInstance(value: string): boolean {
  return value.length <= MAX_INSTANCE_BYTES && /^[\x21-\x7e]+$/.test(value);
}

/** The newest tunnel of each listener that names its instance. */
export class Instances {
  readonly #tunnels = new Map<string, Tunnel>();

  add(tunnel: Tunnel): void {
    if (tunnel.instance !== "") this.#tunnels.set(keyOf(tunnel), tunnel);
  }

  remove(tunnel: Tunnel): void {
    const key = keyOf(tunnel);
    if (this.#tunnels.get(key) === tunnel) this.#tunnels.delete(key);
  }

  /** The listener's tunnel, unless its agent has given it up or its token is no longer valid. */
  find(listener: Pick<Tunnel, "tenantId" | "endpointId" | "instance">): Tunnel | undefined {
    if (listener.instance === "") return undefined;
    const tunnel = this.#tunnels.get(keyOf(listener));
    return tunnel?.kept === true ? tunnel : undefined;
  }
}

/** A unique key: neither endpoint ids nor instances contain white space. */
function keyOf({
  endpointId,
  instance,
  tenantId,
}: Pick<Tunnel, "tenantId" | "endpointId" | "instance">): string {
  return `${instance} ${endpointId} ${tenantId}`;
}
