// A cluster of nodes in a namespace, as each of its pods sees it.

import { eventually } from "../../harness/deadline.js";
import type { Namespace, Pod } from "./namespace.js";

const ADMIN_PORT = 8_002;

/** One row of `/status/cluster/nodes`. */
export interface SeenNode {
  readonly id: string;
  readonly status: string;
  readonly proxy_addr: string;
  readonly endpoints: number;
  readonly upstreams: number;
}

/** The nodes' pods, found by a label such as `app=piko`. */
export class NodePods {
  readonly #namespace: Namespace;
  readonly #label: string;

  constructor(namespace: Namespace, label: string) {
    this.#namespace = namespace;
    this.#label = label;
  }

  list(): Promise<readonly Pod[]> {
    return this.#namespace.pods(this.#label);
  }

  /** What a pod reports about all nodes. */
  seenBy(pod: string): Promise<readonly SeenNode[]> {
    return this.#namespace.page(pod, ADMIN_PORT, "/status/cluster/nodes");
  }

  /** Listeners of an endpoint that are connected to the pod itself. */
  async listeners(pod: string, endpoint: string): Promise<number> {
    const counts = await this.#namespace.page<Record<string, number>>(
      pod,
      ADMIN_PORT,
      "/status/upstream/endpoints",
    );
    return counts[endpoint] ?? 0;
  }

  /**
   * Waits until there are `count` pods, and every one of them sees exactly these as active nodes. Nodes that have left may
   * still be listed, but an unreachable one may not. A dead node stays listed as unreachable for a minute after it is
   * noticed, so the default for `ms` is twice that.
   */
  async untilOneCluster(count: number, ms = 120_000): Promise<void> {
    let last = "";
    try {
      await eventually(
        async () => {
          const pods = await this.list();
          const addresses = pods.map(({ status }) => `${status.podIP}:8000`).sort();
          const views = await Promise.all(
            pods.map(({ metadata }) => this.seenBy(metadata.name).catch((error: unknown) => String(error))),
          );
          last = JSON.stringify({ addresses, views });
          if (pods.length !== count) return false;
          return views.every((view) => {
            if (typeof view === "string") return false;
            const present = view.filter(({ status }) => status !== "left");
            if (present.some(({ status }) => status !== "active")) return false;
            const seen = present.map((node) => node.proxy_addr).sort();
            return seen.join() === addresses.join();
          });
        },
        `one cluster of ${count}`,
        ms,
      );
    } catch (error) {
      throw new Error(`${String(error)}: ${last}`, { cause: error });
    }
  }
}
