// The machines of a cluster.

import { kubectlJson } from "./kubectl.js";

interface Machine {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly unschedulable?: boolean;
    readonly taints?: readonly { readonly effect: string }[];
  };
  readonly status: { readonly conditions: readonly { readonly type: string; readonly status: string }[] };
}

/** Names of the machines that are ready and accept pods. */
export async function listMachines(): Promise<readonly string[]> {
  const { items } = await kubectlJson<{ items: readonly Machine[] }>(["get", "nodes"]);
  return items
    .filter(({ spec, status }) => {
      const ready = status.conditions.some((each) => each.type === "Ready" && each.status === "True");
      const closed =
        spec.unschedulable === true ||
        (spec.taints ?? []).some(({ effect }) => effect !== "PreferNoSchedule");
      return ready && !closed;
    })
    .map(({ metadata }) => metadata.name)
    .sort();
}
