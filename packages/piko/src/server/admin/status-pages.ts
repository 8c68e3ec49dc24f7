// The status pages of the admin port, in the contract's JSON: the listeners on this node, the nodes that it knows, and
// its gossip state.

import type { Clock } from "@piko/tunnel";
import type { NodeDetails, NodeSnapshot } from "../../gossip/state/snapshot.js";
import type { Entry } from "../../gossip/wire/messages.js";
import { REDACTED } from "../../observability/redact.js";
import { type Route, send, sendJson } from "../../net/route-server.js";
import type { Cluster } from "../cluster/cluster.js";
import type { NodeSummary } from "../cluster/cluster-table.js";
import { hashInstance } from "../upstream/hash-instance.js";
import { describeDoubt, type Tunnel } from "../upstream/tunnel.js";
import { HOP_SECRET_KEY } from "../cluster/gossip-sync.js";
import type { Upstreams } from "../upstream/upstreams.js";

/** Gossip's `expiry` of a node that is part of the cluster: Go's zero time. */
const NO_EXPIRY = "0001-01-01T00:00:00Z";

/** One listener on an endpoint, as shown on the page of agents. */
interface AgentDescription {
  readonly endpoint_id: string;
  readonly tenant_id?: string;
  /** The same on all nodes that it has a tunnel to; null if it doesn't name its instance, like Go agents. */
  readonly agent: string | null;
  readonly client_ip: string;
  readonly version?: string;
  readonly since: string;
  readonly tunnels: number;
  readonly streams: number;
}

export class StatusPages {
  readonly #cluster: Cluster;
  readonly #upstreams: Upstreams;
  readonly #clock: Clock;
  readonly #wallNow: () => number;

  /** `wallNow`: milliseconds since 1970. */
  constructor(cluster: Cluster, upstreams: Upstreams, time: { clock: Clock; wallNow: () => number }) {
    this.#cluster = cluster;
    this.#upstreams = upstreams;
    this.#clock = time.clock;
    this.#wallNow = time.wallNow;
  }

  /** The route of a path below `/status`; undefined for one that doesn't exist. */
  find(path: string): Route | undefined {
    if (path === "/status/upstream/endpoints") return page(() => this.#upstreams.listenerCounts());
    if (path === "/status/upstream/agents") return page(() => this.#agents());
    if (path === "/status/upstream/doubtful") return page(() => this.#doubtfulTunnels());
    const match = /^\/status\/(cluster|gossip)\/nodes(?:\/([^/]+))?$/.exec(path);
    if (match === null) return undefined;
    const [, kind, segment] = match;
    if (segment === undefined) {
      return page(() => (kind === "cluster" ? this.#clusterNodes() : this.#gossipNodes()));
    }
    const id = decode(segment);
    return page(() => (kind === "cluster" ? this.#clusterNode(id) : this.#gossipNode(id)));
  }

  /** The listeners on this node: each once, however many tunnels it has, sorted by endpoint and age. */
  #agents(): object[] {
    const agents = new Map<string | Tunnel, Tunnel[]>();
    for (const tunnel of this.#upstreams.tunnels()) {
      const { endpointId, instance, tenantId } = tunnel;
      // A listener without an instance name is identified by its tunnel alone. The names contain no white space.
      const key = instance === "" ? tunnel : `${instance} ${endpointId} ${tenantId}`;
      const tunnels = agents.get(key);
      if (tunnels === undefined) agents.set(key, [tunnel]);
      else tunnels.push(tunnel);
    }
    return [...agents.values()]
      .map((tunnels) => this.#describeAgent(tunnels))
      .sort((a, b) => (a.endpoint_id < b.endpoint_id ? -1 : a.endpoint_id > b.endpoint_id ? 1 : 0));
  }

  /** `tunnels`: at least one, the oldest first. */
  #describeAgent(tunnels: readonly Tunnel[]): AgentDescription {
    const [oldest] = tunnels as [Tunnel];
    const newest = tunnels.at(-1) ?? oldest;
    return {
      endpoint_id: oldest.endpointId,
      ...(oldest.tenantId === "" ? {} : { tenant_id: oldest.tenantId }),
      agent: oldest.instance === "" ? null : hashInstance(oldest.instance),
      client_ip: newest.clientIp,
      ...(newest.userAgent === "" ? {} : { version: newest.userAgent }),
      since: this.#timeOf(oldest.sinceMs),
      tunnels: tunnels.length,
      streams: tunnels.reduce((sum, { streamCount }) => sum + streamCount, 0),
    };
  }

  /** Converts a time of the monotonic clock to ISO 8601. */
  #timeOf(clockMs: number): string {
    return new Date(this.#wallNow() - (this.#clock.now() - clockMs)).toISOString();
  }

  /** Doubtful tunnels, the one that has been silent for longest first. */
  #doubtfulTunnels(): object[] {
    const doubtful: Tunnel[] = [];
    for (const tunnel of this.#upstreams.tunnels()) if (tunnel.doubtful) doubtful.push(tunnel);
    return doubtful
      .sort((a, b) => a.doubtSinceMs - b.doubtSinceMs)
      .map((tunnel) => ({
        endpoint_id: tunnel.endpointId,
        client_ip: tunnel.clientIp,
        since: this.#timeOf(tunnel.doubtSinceMs),
        reason: describeDoubt(tunnel),
        streams: tunnel.streamCount,
      }));
  }

  #clusterNodes(): object[] {
    const nodes: NodeSummary[] = [this.#cluster.local(), ...this.#cluster.table.nodes()];
    return nodes
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .map((node) => ({
        ...describe(node),
        endpoints: node.endpoints.size,
        upstreams: [...node.endpoints.values()].reduce((sum, count) => sum + count, 0),
        ...describeAbout(node),
      }));
  }

  /** `id` may be `local` for this node; undefined for an unknown node. */
  #clusterNode(id: string): object | undefined {
    const remote = this.#cluster.table.get(id);
    const node = id === "local" || id === this.#cluster.nodeId ? this.#cluster.local() : remote;
    // A node whose addresses aren't known yet is missing from the list of nodes, too.
    if (node === undefined || (node === remote && !remote.complete)) return undefined;
    const endpoints = node.endpoints.size === 0 ? null : Object.fromEntries(node.endpoints);
    return { ...describe(node), endpoints, ...describeAbout(node) };
  }

  #gossipNodes(): object[] {
    const nowMs = this.#wallNow();
    return this.#cluster.gossip.nodes().map((node) => gossipState(node, nowMs));
  }

  #gossipNode(id: string): object | undefined {
    const node: NodeDetails | undefined = this.#cluster.gossip.node(id);
    if (node === undefined) return undefined;
    const entries = node.entries.map(hideSecret);
    return { ...gossipState(node, this.#wallNow()), Entries: entries.length === 0 ? null : entries };
  }
}

/** A page of JSON. If `read` returns undefined, because the node is unknown, it is 404 without a body. */
function page(read: () => object | undefined): Route {
  return (response) => {
    const value = read();
    if (value === undefined) send(response, 404);
    else sendJson(response, value);
  };
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

/** Fields that Go's pages don't have; they come last. */
function describeAbout({ about }: NodeSummary): object {
  return about === undefined
    ? {}
    : { version: about.version, started: new Date(about.startedMs).toISOString() };
}

/** Hides a node's hop secret: with it, anyone could send requests as a node. */
function hideSecret(entry: Entry): Entry {
  return entry.key === HOP_SECRET_KEY && entry.value !== "" ? { ...entry, value: REDACTED } : entry;
}

function gossipState(
  { id, addr, version, left, unreachable, expiresInMs }: NodeSnapshot,
  nowMs: number,
): object {
  const expiry = expiresInMs === undefined ? NO_EXPIRY : new Date(nowMs + expiresInMs).toISOString();
  return { id, addr, version, left, unreachable, expiry };
}
