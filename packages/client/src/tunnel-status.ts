// The number and nodes of a listener's tunnels, for programs and for people.

/** The tunnels of a listener. */
export interface TunnelStatus {
  /** Number of open tunnels, without those that were replaced. */
  readonly open: number;
  /** Number of tunnels that there should be, if the cluster has enough nodes. */
  readonly wanted: number;
  /** The node of each open tunnel, oldest first; undefined for a Go node. */
  readonly nodeIds: readonly (string | undefined)[];
}

/** Returns a text like `2 of 2 tunnels, nodes a, b`. */
export function describeTunnels({ nodeIds, open, wanted }: TunnelStatus): string {
  const named = nodeIds.filter((id) => id !== undefined);
  const count = `${open} of ${wanted} tunnel${wanted === 1 ? "" : "s"}`;
  if (named.length === 0) return count;
  return `${count}, node${named.length === 1 ? "" : "s"} ${named.join(", ")}`;
}
