// The cluster and gossip pages of the admin port, in the contract's JSON.

import type { NodeDetails, NodeSnapshot } from "../../gossip/snapshot.js";
import type { ServerResponse } from "node:http";
import { sendJson } from "../../net/route-server.js";
import type { Cluster } from "./cluster.js";
import type { NodeSummary } from "./cluster-table.js";

/** Answers `/status/cluster/...` and `/status/gossip/...`; false for other paths. An unknown node is 404 without a body. */
export function clusterStatus(cluster: Cluster, path: string, response: ServerResponse): boolean {
  const match = /^\/status\/(cluster|gossip)\/nodes(?:\/([^/]+))?$/.exec(path);
  if (match === null) return false;
  const [, kind, segment] = match;
  const id = segment === undefined ? undefined : decode(segment);
  let page: object | undefined;
  if (kind === "cluster") page = id === undefined ? clusterNodes(cluster) : clusterNode(cluster, id);
  else page = id === undefined ? gossipNodes(cluster, Date.now()) : gossipNode(cluster, id, Date.now());
  if (page === undefined) response.writeHead(404).end();
  else sendJson(response, page);
  return true;
}

/** `/status/cluster/nodes` */
function clusterNodes(cluster: Cluster): object[] {
  return [cluster.local(), ...cluster.table.nodes()].map((node) => ({
    ...describe(node),
    endpoints: node.endpoints.size,
    upstreams: [...node.endpoints.values()].reduce((sum, count) => sum + count, 0),
  }));
}

/** `/status/cluster/nodes/:id`, with `local` for this node; undefined for an unknown one. */
function clusterNode(cluster: Cluster, id: string): object | undefined {
  const remote = cluster.table.get(id);
  const node = id === "local" || id === cluster.nodeId ? cluster.local() : remote;
  // One whose addresses aren't known yet isn't in the list either.
  if (node === undefined || (node === remote && !remote.complete)) return undefined;
  const endpoints = node.endpoints.size === 0 ? null : Object.fromEntries(node.endpoints);
  return { ...describe(node), endpoints };
}

/** `/status/gossip/nodes` */
function gossipNodes(cluster: Cluster, nowMs: number): object[] {
  return cluster.gossip.nodes().map((node) => gossipState(node, nowMs));
}

/** `/status/gossip/nodes/:id`; undefined for an unknown one. */
function gossipNode(cluster: Cluster, id: string, nowMs: number): object | undefined {
  const node: NodeDetails | undefined = cluster.gossip.node(id);
  if (node === undefined) return undefined;
  return { ...gossipState(node, nowMs), Entries: node.entries.length === 0 ? null : node.entries };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function describe(node: NodeSummary): object {
  return { id: node.id, status: node.status, proxy_addr: node.proxyAddr, admin_addr: node.adminAddr };
}

function gossipState(
  { id, addr, version, left, unreachable, expiresInMs }: NodeSnapshot,
  nowMs: number,
): object {
  const expiry =
    expiresInMs === undefined ? "0001-01-01T00:00:00Z" : new Date(nowMs + expiresInMs).toISOString();
  return { id, addr, version, left, unreachable, expiry };
}
