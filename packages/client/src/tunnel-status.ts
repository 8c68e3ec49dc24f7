// What a listener has of the tunnels that it wants, for programs and for people.

/** The tunnels of a listener. */
export interface TunnelStatus {
  /** How many are open, without those that others have replaced. */
  readonly open: number;
  /** How many there are to be, where the cluster has as many nodes. */
  readonly wanted: number;
  /** The node of each that is open, the oldest first; undefined for a Go node. */
  readonly nodeIds: readonly (string | undefined)[];
}

/** `2 of 2 tunnels, nodes a, b` */
export function describeTunnels({ nodeIds, open, wanted }: TunnelStatus): string {
  const named = nodeIds.filter((id) => id !== undefined);
  const count = `${open} of ${wanted} tunnel${wanted === 1 ? "" : "s"}`;
  if (named.length === 0) return count;
  return `${count}, node${named.length === 1 ? "" : "s"} ${named.join(", ")}`;
}
