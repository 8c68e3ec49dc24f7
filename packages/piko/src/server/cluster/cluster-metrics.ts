// Metrics of the cluster and of gossip (contract names piko_cluster_* and piko_gossip_*).

import type { TrafficBytes } from "../../gossip/protocol/counters.js";
import type { EntryCounts } from "../../gossip/state/snapshot.js";
import type { Metrics, Sample } from "../../observability/metrics.js";
import type { Cluster } from "./cluster.js";

/** Maximum nodes with their own series. */
export const MAX_NODES = 256;
/** `node_id` of all other nodes. */
const OTHER_NODES = "other";

/** Adds the metrics to a node's registry. */
export function addClusterMetrics(
  metrics: Metrics,
  cluster: Cluster,
  remoteRequests: ReadonlyMap<string, number>,
): void {
  const { counters } = cluster.gossip;
  const { overhead } = cluster.sealed;
  const bytes = (of: keyof TrafficBytes) => (): number => counters[of] + overhead[of];
  metrics.labeled("gauge", "piko_cluster_nodes", "Number of known nodes", "status", () => {
    const byStatus = new Map([["active", 1]]);
    for (const { status } of cluster.table.nodes()) byStatus.set(status, (byStatus.get(status) ?? 0) + 1);
    return byStatus;
  });
  metrics.labeled(
    "counter",
    "piko_upstreams_remote_requests_total",
    "Number of requests sent to other nodes",
    "node_id",
    () =>
      limitNodes<readonly [string, number]>([...remoteRequests], (others) => [
        OTHER_NODES,
        sum(others, ([, count]) => count),
      ]),
  );
  for (const [name, help, read] of [
    ["connections_inbound", "TCP connections accepted", () => counters.connectionsInbound],
    ["connections_outbound", "TCP connections opened", () => counters.connectionsOutbound],
    ["stream_bytes_inbound", "Bytes received over TCP", bytes("streamBytesInbound")],
    ["stream_bytes_outbound", "Bytes sent over TCP", bytes("streamBytesOutbound")],
    ["packet_bytes_inbound", "Bytes received over UDP", bytes("packetBytesInbound")],
    ["packet_bytes_outbound", "Bytes sent over UDP", bytes("packetBytesOutbound")],
    ["digest_entries_inbound", "Digest entries received", () => counters.digestEntriesInbound],
    ["digest_entries_outbound", "Digest entries sent", () => counters.digestEntriesOutbound],
    ["delta_entries_inbound", "Delta entries received", () => counters.deltaEntriesInbound],
    ["delta_entries_outbound", "Delta entries sent", () => counters.deltaEntriesOutbound],
    ["packets_refused", "Packets that were refused", () => counters.packetsRefused],
    ["requests_refused", "Requests over TCP that were refused", () => counters.requestsRefused],
  ] as const) {
    metrics.counter(`piko_gossip_${name}_total`, `Gossip: ${help.toLowerCase()}`, read);
  }
  metrics.labeled(
    "counter",
    "piko_gossip_limited_total",
    "Gossip: keys, nodes, packets and connections kept out by a limit",
    "limit",
    () => counters.limited,
  );
  metrics.labeled(
    "counter",
    "piko_gossip_dropped_total",
    "Gossip: packets and requests dropped unread",
    "reason",
    () => cluster.drops.counts,
  );
  metrics.gauge(
    "piko_gossip_state_bytes",
    "Gossip: memory held for what other nodes announce",
    () => cluster.gossip.budget.used,
  );
  metrics.add({
    name: "piko_gossip_entries",
    help: "Number of keys known, by node and kind",
    type: "gauge",
    labels: ["node_id", "deleted", "internal"],
    read: () => limitNodes(cluster.gossip.entryCounts(), addCounts).flatMap(entrySamples),
  });
}

/** Combines the nodes beyond the limit into one: anyone who reaches the gossip port can invent nodes. */
export function limitNodes<T>(nodes: readonly T[], addUp: (others: readonly T[]) => T): readonly T[] {
  if (nodes.length <= MAX_NODES) return nodes;
  return [...nodes.slice(0, MAX_NODES), addUp(nodes.slice(MAX_NODES))];
}

function addCounts(others: readonly EntryCounts[]): EntryCounts {
  return {
    id: OTHER_NODES,
    total: sum(others, ({ total }) => total),
    deleted: sum(others, ({ deleted }) => deleted),
    internal: sum(others, ({ internal }) => internal),
  };
}

function sum<T>(all: readonly T[], count: (one: T) => number): number {
  return all.reduce((before, one) => before + count(one), 0);
}

function entrySamples(counts: EntryCounts): Sample[] {
  const { id, total, deleted, internal } = counts;
  const sample = (isDeleted: boolean, isInternal: boolean, value: number): Sample => ({
    labels: { node_id: id, deleted: String(isDeleted), internal: String(isInternal) },
    value,
  });
  return [
    sample(false, false, total - deleted - internal),
    sample(true, false, deleted),
    sample(false, true, internal),
  ];
}
