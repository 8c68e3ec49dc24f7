// What this node announces about the endpoints that it has listeners for, and what it hides from Go nodes. Go nodes know
// neither draining nor doubt, and use any node that announces an endpoint under the plain key.

import type { Logger } from "../../observability/logger.js";
import { type ClusterTable, NODE_HEALTHY } from "./cluster-table.js";
import { announceDoubt, announceListeners, type LocalKeys } from "./gossip-sync.js";

/** An endpoint's listeners on this node. */
interface Listeners {
  readonly count: number;
  /** Whether all of them are doubtful. */
  readonly doubtful: boolean;
}

export interface AnnouncementsOptions {
  readonly keys: LocalKeys;
  readonly table: ClusterTable;
  readonly logger: Logger;
  /** Milliseconds of the monotonic clock. */
  readonly now: () => number;
}

export class Announcements {
  /** Listeners on this node, by endpoint, whether announced or not. */
  readonly listeners: Map<string, number> = new Map();
  readonly #doubtful = new Set<string>();
  readonly #options: AnnouncementsOptions;
  #draining = false;

  constructor(options: AnnouncementsOptions) {
    this.#options = options;
  }

  /** Sets how many listeners an endpoint has on this node, and whether all of them are doubtful. */
  set(endpointId: string, { count, doubtful }: Listeners): void {
    if (count > 0) this.listeners.set(endpointId, count);
    else this.listeners.delete(endpointId);
    if (count > 0 && doubtful) this.#doubtful.add(endpointId);
    else this.#doubtful.delete(endpointId);
    this.#announce(endpointId);
  }

  /** The node is stopping: withdraws the plain keys of endpoints for which another node is healthy. */
  drain(): void {
    this.#draining = true;
    this.onOthersChanged();
  }

  /** Another node got or lost an endpoint, or its listeners there became doubtful or recovered. */
  onOtherChanged(endpointId: string): void {
    if (this.#draining || this.#doubtful.has(endpointId)) this.#announce(endpointId);
  }

  /** Another node began or stopped draining. */
  onOthersChanged(): void {
    for (const endpointId of this.#draining ? this.listeners.keys() : this.#doubtful)
      this.#announce(endpointId);
  }

  /**
   * A draining or doubtful endpoint keeps its plain key while no other node is healthy for it. If two nodes become doubtful at
   * once and both withdraw their plain key, each learns about the other's doubt and announces its key again.
   */
  #announce(endpointId: string): void {
    const { keys, logger, now, table } = this.#options;
    const count = this.listeners.get(endpointId) ?? 0;
    const doubtful = this.#doubtful.has(endpointId);
    const hidden =
      (this.#draining || doubtful) && table.select(endpointId, now(), undefined, NODE_HEALTHY) !== undefined;
    try {
      // In this order, so that nodes that know both keys always see one of them.
      if (doubtful) announceDoubt(keys, endpointId, count);
      announceListeners(keys, endpointId, hidden ? 0 : count);
      if (!doubtful) announceDoubt(keys, endpointId, 0);
    } catch (error) {
      // The endpoint still works on this node.
      logger.error("endpoint can't be announced", { "endpoint-id": endpointId, error });
    }
  }
}
