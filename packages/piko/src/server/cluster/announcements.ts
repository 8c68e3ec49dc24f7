// What this node announces about the endpoints that it has listeners for, and what it hides from Go nodes: those know
// neither draining nor doubt, and use any node that announces an endpoint under the plain key.

import type { Logger } from "../../observability/logger.js";
import { type ClusterTable, NODE_WELL } from "./cluster-table.js";
import { announceDoubt, announceListeners, type LocalKeys } from "./gossip-sync.js";

/** An endpoint's listeners on this node. */
interface Listeners {
  readonly count: number;
  /** All of them are doubtful. */
  readonly doubtful: boolean;
}

export interface AnnouncementsOptions {
  readonly keys: LocalKeys;
  readonly table: ClusterTable;
  readonly logger: Logger;
  /** The clock's time. */
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

  /** How many listeners an endpoint has on this node, and whether all of them are doubtful. */
  set(endpointId: string, { count, doubtful }: Listeners): void {
    if (count > 0) this.listeners.set(endpointId, count);
    else this.listeners.delete(endpointId);
    if (count > 0 && doubtful) this.#doubtful.add(endpointId);
    else this.#doubtful.delete(endpointId);
    this.#announce(endpointId);
  }

  /** The node stops: what a node which doesn't has too isn't announced any more. */
  drain(): void {
    this.#draining = true;
    this.onOthersChanged();
  }

  /** Other nodes have begun or ceased to have an endpoint, or to be well for it. */
  onOtherChanged(endpointId: string): void {
    if (this.#draining || this.#doubtful.has(endpointId)) this.#announce(endpointId);
  }

  /** Another node drains, or does no more. */
  onOthersChanged(): void {
    for (const endpointId of this.#draining ? this.listeners.keys() : this.#doubtful)
      this.#announce(endpointId);
  }

  /**
   * Under the plain key while no other node is well for the endpoint: with two nodes in doubt, each of which has taken its key
   * back because of the other, both learn of the other's doubt, and say it again.
   */
  #announce(endpointId: string): void {
    const { keys, logger, now, table } = this.#options;
    const count = this.listeners.get(endpointId) ?? 0;
    const doubtful = this.#doubtful.has(endpointId);
    const hidden =
      (this.#draining || doubtful) && table.select(endpointId, now(), undefined, NODE_WELL) !== undefined;
    try {
      // In this order, so that nodes which know both never see neither.
      if (doubtful) announceDoubt(keys, endpointId, count);
      announceListeners(keys, endpointId, hidden ? 0 : count);
      if (!doubtful) announceDoubt(keys, endpointId, 0);
    } catch (error) {
      // It works on this node; it can't be announced to the others.
      logger.error("endpoint can't be announced", { "endpoint-id": endpointId, error });
    }
  }
}
