// The pages of the admin port that `piko server status` shows: the request, the validation of the response, the document for
// programs (with the keys and the order of Go Piko's command), and the table for people.

import { z } from "zod";
import { formatDuration } from "../base/duration.js";
import { type Column, formatProperties, formatTable } from "./table.js";

/** What a table needs to know about its environment. */
export interface View {
  /** Columns of the terminal; Infinity if there is none. */
  readonly width: number;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

/** Requests a page from a node, forwarded by the node that is asked; an empty id stands for the latter. */
export type Ask = (path: string, nodeId: string) => Promise<unknown>;

/** A page: its path, and how its response is shown. */
export interface Page<T = unknown> {
  /** What is requested, for error texts. */
  readonly title: string;
  readonly path: string;
  /** The node named in the path. */
  readonly nodeId?: string;
  /** Makes further requests, if one page isn't enough. `ask` returns the JSON at a path of the node with that id. */
  readonly gather?: (ask: Ask) => Promise<unknown>;
  /** Converts the response to a document; fails if the response is something else. */
  readonly schema: z.ZodType<T>;
  /** The document as text for people, with a line feed at the end. */
  readonly table: (document: T, view: View) => string;
}

/** An agent that listens on an endpoint; `agent` is null if it doesn't identify itself. */
interface ListeningAgent {
  readonly endpoint_id: string;
  readonly tenant_id?: string | undefined;
  readonly agent: string | null;
  readonly client_ip: string;
  readonly since: string;
  readonly tunnels: number;
  readonly streams: number;
}

/** A tunnel whose agent is silent. */
interface DoubtfulTunnel {
  readonly endpoint_id: string;
  readonly client_ip: string;
  readonly since: string;
  readonly reason: string;
  readonly streams: number;
}

interface ClusterIdentity {
  readonly id: string;
  readonly status: string;
  readonly proxy_addr: string;
  readonly admin_addr: string;
}

/** What nodes other than Go Piko's report about themselves. */
interface About {
  readonly version?: string | undefined;
  readonly started?: string | undefined;
}

/** One entry of `cluster nodes`, with the number of endpoints and of the upstreams that listen on them. */
interface ClusterEntry extends ClusterIdentity, About {
  readonly endpoints: number;
  readonly upstreams: number;
}

interface ClusterNode extends ClusterIdentity, About {
  readonly endpoints: Readonly<Record<string, number>>;
}

interface GossipNode {
  readonly id: string;
  readonly addr: string;
  readonly version: number;
  readonly left: boolean;
  readonly unreachable: boolean;
  readonly expiry: string;
}

interface GossipEntry {
  readonly key: string;
  readonly value: string;
  readonly version: number;
  readonly internal: boolean;
  readonly deleted: boolean;
}

type Counts = Readonly<Record<string, number>>;

/** Used because zod's own records drop a key `__proto__`. */
function isCounts(value: unknown): boolean {
  if (value === null) return true;
  return typeof value === "object" && Object.values(value).every(Number.isSafeInteger);
}

/** Listeners by endpoint; Go's servers send null if there are none. */
const ENDPOINTS = z.custom<Counts | null>(isCounts).transform((counts) => sortKeys(counts ?? {}));

const LISTENING_AGENT = z.object({
  endpoint_id: z.string(),
  tenant_id: z.string().optional(),
  agent: z.string().nullable(),
  client_ip: z.string(),
  since: z.string(),
  tunnels: z.int(),
  streams: z.int(),
});
const DOUBTFUL_TUNNEL = z.object({
  endpoint_id: z.string(),
  client_ip: z.string(),
  since: z.string(),
  reason: z.string(),
  streams: z.int(),
});
const CLUSTER_NODE = z.object({
  id: z.string(),
  status: z.string(),
  proxy_addr: z.string(),
  admin_addr: z.string(),
});
const ABOUT = { version: z.string().optional(), started: z.string().optional() };
const CLUSTER_ENTRY = CLUSTER_NODE.extend({ endpoints: z.int(), upstreams: z.int(), ...ABOUT });
const GOSSIP_NODE = z.object({
  id: z.string(),
  addr: z.string(),
  version: z.int(),
  left: z.boolean(),
  unreachable: z.boolean(),
  expiry: z.string(),
});
const GOSSIP_ENTRY = z.object({
  key: z.string(),
  value: z.string(),
  version: z.int(),
  internal: z.boolean(),
  deleted: z.boolean(),
});

/** `upstream endpoints` */
export const upstreamEndpoints: Page<Record<string, number>> = {
  title: "upstream endpoints",
  path: "/status/upstream/endpoints",
  schema: ENDPOINTS,
  table: endpointTable,
};

/** `upstream agents` */
export const upstreamAgents: Page<{ agents: ListeningAgent[] }> = {
  title: "agents",
  path: "/status/upstream/agents",
  schema: z.array(LISTENING_AGENT).transform((agents) => ({ agents })),
  table: ({ agents }, { nowMs, width }) => {
    if (agents.length === 0) return "no agents\n";
    const tunnels = agents.reduce((sum, agent) => sum + agent.tunnels, 0);
    const sum = `${count(agents.length, "agent")} with ${count(tunnels, "tunnel")} to this node`;
    const since: Column<ListeningAgent> = { title: "FOR", value: ({ since }) => secondsSince(since, nowMs) };
    return `${formatTable([...AGENT_COLUMNS, since, CLIENT_COLUMN], agents, width)}\n${sum}\n`;
  },
};

/** `upstream doubtful` */
export const upstreamDoubtful: Page<{ tunnels: DoubtfulTunnel[] }> = {
  title: "doubtful upstreams",
  path: "/status/upstream/doubtful",
  schema: z.array(DOUBTFUL_TUNNEL).transform((tunnels) => ({ tunnels })),
  table: ({ tunnels }, { nowMs, width }) => {
    const seconds = ({ since }: DoubtfulTunnel): string => secondsSince(since, nowMs);
    return tunnels.length === 0
      ? "no upstream is in doubt\n"
      : formatTable([...DOUBT_COLUMNS, { title: "FOR", value: seconds }, REASON_COLUMN], tunnels, width);
  },
};

/** `cluster nodes`; only those with the given status, unless it is empty. */
export function clusterNodes(status: string): Page<{ nodes: ClusterEntry[] }> {
  return {
    title: "cluster nodes",
    path: "/status/cluster/nodes",
    schema: z.array(CLUSTER_ENTRY).transform((nodes) => ({
      nodes: sortById(nodes.filter((node) => status === "" || node.status === status)),
    })),
    table: ({ nodes }, { nowMs, width }) => {
      const columns = [...CLUSTER_COLUMNS, ...aboutColumns(nodes, nowMs)];
      return nodes.length === 0
        ? "no nodes\n"
        : `${formatTable(columns, nodes, width)}\n${countByStatus(nodes)}`;
    },
  };
}

/** `cluster node` */
export function clusterNode(id: string): Page<ClusterNode> {
  return {
    title: `cluster node ${id}`,
    nodeId: id,
    path: `/status/cluster/nodes/${encodeURIComponent(id)}`,
    schema: CLUSTER_NODE.extend({ endpoints: ENDPOINTS, ...ABOUT }),
    table: ({ id, status, proxy_addr: proxy, admin_addr: admin, endpoints, started, version }, view) => {
      const up = started === undefined ? {} : { up: upSince(started, view.nowMs) };
      const about = version === undefined ? {} : { version, ...up };
      return `${formatProperties({ id, status, proxy, admin, ...about })}\n${endpointTable(endpoints, view)}`;
    },
  };
}

/** `gossip nodes` */
export const gossipNodes: Page<{ nodes: GossipNode[] }> = {
  title: "gossip nodes",
  path: "/status/gossip/nodes",
  schema: z.array(GOSSIP_NODE).transform((nodes) => ({ nodes: sortById(nodes) })),
  table: ({ nodes }, { nowMs, width }) => {
    const when: Column<GossipNode> = { title: "FORGOTTEN", value: ({ expiry }) => forgotten(expiry, nowMs) };
    const leaving = nodes.some((node) => when.value(node) !== "");
    return formatTable([...GOSSIP_COLUMNS, ...(leaving ? [when] : [])], nodes, width);
  },
};

/** `gossip node` */
export function gossipNode(id: string): Page<{ nodemetadata: GossipNode; entries: GossipEntry[] }> {
  return {
    title: `gossip node ${id}`,
    nodeId: id,
    path: `/status/gossip/nodes/${encodeURIComponent(id)}`,
    schema: GOSSIP_NODE.extend({ Entries: z.array(GOSSIP_ENTRY).nullable() }).transform(
      ({ Entries, ...nodemetadata }) => ({ nodemetadata, entries: Entries ?? [] }),
    ),
    table: ({ nodemetadata: node, entries }, { nowMs, width }) => {
      const { addr, expiry, id, version } = node;
      const state = gossipState(node);
      const when = forgotten(expiry, nowMs);
      const properties = { id, state, address: addr, version, ...(when === "" ? {} : { forgotten: when }) };
      return `${formatProperties(properties)}\n${formatTable(ENTRY_COLUMNS, entries, width)}`;
    },
  };
}

const AGENT_COLUMNS: readonly Column<ListeningAgent>[] = [
  { title: "ENDPOINT", value: ({ endpoint_id }) => endpoint_id },
  { title: "AGENT", value: ({ agent }) => agent ?? "-" },
  { title: "TUNNELS", value: ({ tunnels }) => tunnels },
  { title: "STREAMS", value: ({ streams }) => streams },
];
const CLIENT_COLUMN: Column<ListeningAgent> = {
  title: "ADDRESS",
  value: ({ client_ip }) => client_ip,
  optional: true,
};

const DOUBT_COLUMNS: readonly Column<DoubtfulTunnel>[] = [
  { title: "ENDPOINT", value: ({ endpoint_id }) => endpoint_id },
  { title: "AGENT", value: ({ client_ip }) => client_ip },
  { title: "STREAMS", value: ({ streams }) => streams },
];
const REASON_COLUMN: Column<DoubtfulTunnel> = {
  title: "REASON",
  value: ({ reason }) => reason,
  optional: true,
};

const CLUSTER_COLUMNS: readonly Column<ClusterEntry>[] = [
  { title: "ID", value: ({ id }) => id },
  { title: "STATUS", value: ({ status }) => status },
  { title: "ENDPOINTS", value: ({ endpoints }) => endpoints },
  { title: "UPSTREAMS", value: ({ upstreams }) => upstreams },
  { title: "PROXY", value: ({ proxy_addr }) => proxy_addr, optional: true },
  { title: "ADMIN", value: ({ admin_addr }) => admin_addr, optional: true },
];

/** Columns for the version and the uptime, if any node reports them. */
function aboutColumns(nodes: readonly ClusterEntry[], nowMs: number): readonly Column<ClusterEntry>[] {
  if (nodes.every(({ version }) => version === undefined)) return [];
  return [
    { title: "VERSION", value: ({ version = "" }) => version, optional: true },
    {
      title: "UP",
      value: ({ started }) => (started === undefined ? "" : upSince(started, nowMs)),
      optional: true,
    },
  ];
}

const GOSSIP_COLUMNS: readonly Column<GossipNode>[] = [
  { title: "ID", value: ({ id }) => id },
  { title: "STATE", value: gossipState },
  { title: "ADDRESS", value: ({ addr }) => addr },
  { title: "VERSION", value: ({ version }) => version },
];

const ENTRY_COLUMNS: readonly Column<GossipEntry>[] = [
  { title: "KEY", value: ({ key }) => key },
  { title: "VALUE", value: ({ value }) => value },
  { title: "VERSION", value: ({ version }) => version },
  { title: "", value: ({ deleted, internal }) => (deleted ? "deleted" : internal ? "internal" : "") },
];

function endpointTable(endpoints: Readonly<Record<string, number>>, { width }: View): string {
  const rows = Object.entries(endpoints);
  if (rows.length === 0) return "no endpoints\n";
  return formatTable(
    [
      { title: "ENDPOINT", value: ([endpoint]) => endpoint },
      { title: "LISTENERS", value: ([, listeners]) => listeners },
    ],
    rows,
    width,
  );
}

/** `2 tunnels` */
function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** How long a node has been up, according to both clocks: `3h25m12s`. */
function upSince(time: string, nowMs: number): string {
  return formatDuration(Math.max(0, Math.round((nowMs - Date.parse(time)) / 1_000)) * 1_000);
}

export function secondsSince(time: string, nowMs: number): string {
  return `${Math.max(0, Math.round((nowMs - Date.parse(time)) / 1_000))} s`;
}

/** `3 nodes: 2 active, 1 left` */
function countByStatus(nodes: readonly ClusterEntry[]): string {
  // Active nodes come first.
  const counts = new Map([["active", 0]]);
  for (const { status } of nodes) counts.set(status, (counts.get(status) ?? 0) + 1);
  const parts = [...counts]
    .filter(([, number]) => number > 0)
    .map(([status, number]) => `${number} ${status}`);
  return `${count(nodes.length, "node")}: ${parts.join(", ")}\n`;
}

function gossipState({ left, unreachable }: GossipNode): string {
  if (left) return "left";
  return unreachable ? "unreachable" : "active";
}

/** When a node is forgotten: `in 42 s`; empty for an active node, whose expiry is Go's zero time. */
function forgotten(expiry: string, nowMs: number): string {
  const atMs = Date.parse(expiry);
  if (!(atMs > 0)) return "";
  return `in ${Math.max(0, Math.ceil((atMs - nowMs) / 1_000))} s`;
}

function sortById<T extends { readonly id: string }>(nodes: readonly T[]): T[] {
  return [...nodes].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function sortKeys(counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}
