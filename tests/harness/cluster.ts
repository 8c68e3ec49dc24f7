// Several nodes that have joined each other, what they report about each other, and a load balancer in front of them.

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { eventually } from "./deadline.js";
import { piko, type RunningServer, startServer } from "./piko.js";
import type { Program } from "./program.js";
import type { Stage } from "./stage.js";

/** One entry of `/status/cluster/nodes`. */
export interface ListedNode {
  readonly id: string;
  readonly status: string;
  readonly proxy_addr: string;
  readonly admin_addr: string;
  readonly endpoints: number;
  readonly upstreams: number;
}

/** The JSON at a path of the admin port. */
export async function adminJson<T>(server: RunningServer, path: string, token?: string): Promise<T> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return (await (await fetch(`http://${server.admin}${path}`, { headers })).json()) as T;
}

/** The ids of the nodes that a node considers active, sorted. */
export async function activeNodes(server: RunningServer): Promise<string> {
  const nodes = await adminJson<ListedNode[]>(server, "/status/cluster/nodes");
  const active = nodes.filter(({ status }) => status === "active");
  return active
    .map(({ id }) => id)
    .sort()
    .join(" ");
}

/** Starts a node for each id; all except the first join the first. When this returns, they know each other. */
export async function startCluster<Ids extends readonly string[]>(
  stage: Stage,
  ids: readonly [...Ids],
  flags: Readonly<Record<string, string>> = {},
): Promise<{ [Index in keyof Ids]: RunningServer }> {
  const servers: RunningServer[] = [];
  for (const id of ids) {
    const join: Record<string, string> =
      servers[0] === undefined ? {} : { "cluster.join": servers[0].gossip };
    servers.push(await startServer(stage, { "cluster.node-id": id, ...join, ...flags }));
  }
  const all = [...ids].sort().join(" ");
  for (const server of servers) {
    await eventually(async () => (await activeNodes(server)) === all, `${all} at ${server.admin}`);
    await eventually(async () => (await fetch(`http://${server.admin}/ready`)).ok, "readiness");
  }
  return servers as { [Index in keyof Ids]: RunningServer };
}

/** Waits until a node knows that another one has listeners for `count` endpoints. */
export async function untilEndpoints(
  server: RunningServer,
  id: string,
  count: number,
  token?: string,
): Promise<void> {
  await eventually(async () => {
    const nodes = await adminJson<ListedNode[]>(server, "/status/cluster/nodes", token);
    return nodes.find((node) => node.id === id)?.endpoints === count;
  }, `${count} endpoints of ${id} at ${server.admin}`);
}

/** Starts a server without waiting for it: it may fail to start. */
export function launchServer(stage: Stage, flags: Readonly<Record<string, string>>): Program {
  const ports = ["proxy", "upstream", "admin", "cluster.gossip"].map(
    (port) => `--${port}.bind-addr=127.0.0.1:0`,
  );
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  return piko(stage, "server", ["server", ...ports, ...args]);
}

/** A TCP load balancer in front of the upstream ports. Each connection goes to the first server that reports it is ready. */
export async function startBalancer(stage: Stage, servers: readonly RunningServer[]): Promise<string> {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    return socket;
  };
  const balancer = createServer({ pauseOnConnect: true }, (client) => {
    keep(client);
    void firstReady(servers).then((server) => {
      if (server === undefined) {
        client.destroy();
        return;
      }
      const [host, port] = server.upstream.split(":");
      const upstream = keep(connect({ host, port: Number(port) }));
      client.pipe(upstream).pipe(client);
      client.on("close", () => upstream.destroy());
      upstream.on("close", () => client.destroy());
    });
  });
  balancer.listen(0, "127.0.0.1");
  await once(balancer, "listening");
  stage.defer(async () => {
    const closed = once(balancer, "close");
    balancer.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  });
  return `127.0.0.1:${(balancer.address() as AddressInfo).port}`;
}

async function firstReady(servers: readonly RunningServer[]): Promise<RunningServer | undefined> {
  for (const server of servers) {
    const ready = await fetch(`http://${server.admin}/ready`).then(
      (response) => response.ok,
      () => false,
    );
    if (ready) return server;
  }
  return undefined;
}
