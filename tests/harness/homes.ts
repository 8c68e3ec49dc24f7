// Which nodes the listeners of agents have tunnels to, as reported by the nodes.

import { adminJson } from "./cluster.js";
import { eventually } from "./deadline.js";
import type { RunningServer } from "./piko.js";

interface ListedAgent {
  readonly endpoint_id: string;
  readonly agent: string | null;
  readonly tunnels: number;
}

/** The admin addresses of the nodes that each listener has a tunnel to, by endpoint and hash. */
export async function homes(nodes: readonly RunningServer[]): Promise<Map<string, Set<string>>> {
  const found = new Map<string, Set<string>>();
  for (const node of nodes) {
    for (const { agent, endpoint_id } of await adminJson<ListedAgent[]>(node, "/status/upstream/agents")) {
      const key = `${endpoint_id} ${agent}`;
      found.set(key, (found.get(key) ?? new Set()).add(node.admin));
    }
  }
  return found;
}

/** Waits until there are `listeners` listeners, each with tunnels to `count` of these nodes. */
export async function untilHomes(
  nodes: readonly RunningServer[],
  listeners: number,
  count: number,
  ms?: number,
): Promise<void> {
  await eventually(
    async () => {
      const found = [...(await homes(nodes)).values()];
      return found.length === listeners && found.every(({ size }) => size === count);
    },
    `${listeners} listeners with tunnels to ${count} of ${nodes.length} nodes each`,
    ms,
  );
}
