// `piko server status endpoint`: which nodes of the cluster have listeners for an endpoint, and which agents those belong to. No
// page of the admin port has both, so each node is asked.

import { z } from "zod";
import { type Ask, type Page, secondsSince } from "./pages.js";
import { type Column, formatTable } from "./table.js";

interface EndpointAgent {
  /** Null if the agent doesn't identify itself, as those of Go Piko don't. */
  readonly agent: string | null;
  readonly client_ip: string;
  readonly version?: string | undefined;
  readonly since: string;
  readonly tunnels: number;
  readonly streams: number;
}

interface EndpointNode {
  readonly id: string;
  readonly status: string;
  readonly listeners: number;
  /** Null if the node doesn't report agents: a Go node, or one that doesn't answer. */
  readonly agents: readonly EndpointAgent[] | null;
}

interface EndpointDocument {
  readonly endpoint: string;
  readonly nodes: readonly EndpointNode[];
}

const NODES = z.array(z.object({ id: z.string(), status: z.string() }));
const NODE = z.object({ endpoints: z.record(z.string(), z.int()).nullable() });
const AGENTS = z.array(
  z.object({
    endpoint_id: z.string(),
    agent: z.string().nullable(),
    client_ip: z.string(),
    version: z.string().optional(),
    since: z.string(),
    tunnels: z.int(),
    streams: z.int(),
  }),
);
const DOCUMENT = z.custom<EndpointDocument>((value) => typeof value === "object" && value !== null);

/** `endpoint` */
export function endpoint(id: string): Page<EndpointDocument> {
  return {
    title: `endpoint ${id}`,
    path: "/status/cluster/nodes",
    gather: (ask) => gather(id, ask),
    schema: DOCUMENT,
    table: ({ nodes }, { nowMs, width }) => {
      const rows = nodes.flatMap((node): Row[] =>
        node.agents === null || node.agents.length === 0
          ? [{ node, agent: undefined }]
          : node.agents.map((agent) => ({ node, agent })),
      );
      if (rows.length === 0) return `no one listens on ${id}\n`;
      const since: Column<Row> = {
        title: "FOR",
        value: ({ agent }) => (agent === undefined ? "" : secondsSince(agent.since, nowMs)),
      };
      return formatTable([...COLUMNS, since, ...MORE_COLUMNS], rows, width);
    },
  };
}

interface Row {
  readonly node: EndpointNode;
  readonly agent: EndpointAgent | undefined;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: "NODE", value: ({ node }) => node.id },
  { title: "STATUS", value: ({ node }) => node.status },
  { title: "AGENT", value: ({ agent }) => agent?.agent ?? "-" },
  { title: "TUNNELS", value: ({ agent, node }) => agent?.tunnels ?? node.listeners },
  { title: "STREAMS", value: ({ agent }) => agent?.streams ?? "" },
];
const MORE_COLUMNS: readonly Column<Row>[] = [
  { title: "ADDRESS", value: ({ agent }) => agent?.client_ip ?? "", optional: true },
  { title: "VERSION", value: ({ agent }) => agent?.version ?? "", optional: true },
];

async function gather(id: string, ask: Ask): Promise<EndpointDocument> {
  const nodes = NODES.parse(await ask("/status/cluster/nodes", ""));
  const found = await Promise.all(
    nodes.map(async ({ id: nodeId, status }): Promise<EndpointNode[]> => {
      const node = NODE.safeParse(await ask(`/status/cluster/nodes/${encodeURIComponent(nodeId)}`, ""));
      const endpoints = new Map(Object.entries(node.data?.endpoints ?? {}));
      const listeners = endpoints.get(id);
      if (listeners === undefined) return [];
      return [{ id: nodeId, status, listeners, agents: await agentsOf(id, nodeId, ask) }];
    }),
  );
  return { endpoint: id, nodes: found.flat().sort((a, b) => (a.id < b.id ? -1 : 1)) };
}

async function agentsOf(id: string, nodeId: string, ask: Ask): Promise<EndpointAgent[] | null> {
  let answer: unknown;
  try {
    answer = await ask("/status/upstream/agents", nodeId);
  } catch {
    // A node that has just gone is shown with what others know about it.
    return null;
  }
  const agents = AGENTS.safeParse(answer);
  if (!agents.success) return null;
  return agents.data
    .filter(({ endpoint_id }) => endpoint_id === id)
    .map(({ agent, client_ip, since, streams, tunnels, version }) => ({
      agent,
      client_ip,
      ...(version === undefined ? {} : { version }),
      since,
      tunnels,
      streams,
    }));
}
