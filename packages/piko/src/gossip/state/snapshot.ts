// The table of nodes as the status pages and the metrics show it.

import type { ClusterState } from "./cluster-state.js";
import type { Entry } from "../wire/messages.js";
import type { NodeState } from "./node-state.js";

/** One node. */
export interface NodeSnapshot {
  readonly id: string;
  readonly addr: string;
  readonly version: number;
  readonly left: boolean;
  readonly unreachable: boolean;
  /** Milliseconds until the node is forgotten; undefined while it takes part. */
  readonly expiresInMs: number | undefined;
}

/** One node with its keys, in ascending order of version, including deleted and internal ones. */
export interface NodeDetails extends NodeSnapshot {
  readonly entries: readonly Entry[];
}

/** Number of a node's keys of each kind. */
export interface EntryCounts {
  readonly id: string;
  readonly total: number;
  readonly deleted: number;
  readonly internal: number;
}

/** All nodes that have answered, including this one, sorted by id. */
export function snapshotNodes(cluster: ClusterState, now: number): NodeSnapshot[] {
  const nodes = [ownSnapshot(cluster)];
  for (const member of cluster.members) {
    if (member.status === "candidate") continue;
    const { id, addr, state, left, status, expiresAt } = member;
    nodes.push({
      id,
      addr,
      version: state.version,
      left,
      unreachable: status === "unreachable",
      expiresInMs: expiresAt === undefined ? undefined : Math.max(0, expiresAt - now),
    });
  }
  return nodes.sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** One node; undefined if no node has this id. */
export function snapshotNode(cluster: ClusterState, id: string, now: number): NodeDetails | undefined {
  const node = snapshotNodes(cluster, now).find((node) => node.id === id);
  const state = id === cluster.local.id ? cluster.local.state : cluster.find(id)?.state;
  return node === undefined || state === undefined ? undefined : { ...node, entries: state.above(0) };
}

export function snapshotEntryCounts(cluster: ClusterState): EntryCounts[] {
  const states: NodeState[] = [cluster.local.state];
  for (const member of cluster.members) if (member.status !== "candidate") states.push(member.state);
  return states.map(({ id, size, deletedCount, internalCount }) => ({
    id,
    total: size,
    deleted: deletedCount,
    internal: internalCount,
  }));
}

function ownSnapshot({ local, addr }: ClusterState): NodeSnapshot {
  const { id, version, left } = local;
  return { id, addr, version, left, unreachable: false, expiresInMs: undefined };
}
