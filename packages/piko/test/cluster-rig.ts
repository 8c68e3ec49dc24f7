// A node's data path in memory, with other nodes that the test plays: they are in its table, and hops to them are in-memory sockets.

import type { SocketHandler } from "@piko/tunnel";
import { ClusterTable, type RemoteNode } from "../src/server/cluster/cluster-table.js";
import { MemorySocket } from "./memory-socket.js";
import { MemoryTunnel } from "./memory-stream.js";
import { NodeRig, type NodeRigOptions } from "./node-rig.js";

export type Kind = "well" | "draining" | "doubtful" | "failed";

/** The address of the rig's client. */
const CLIENT = "192.0.2.1";

export class ClusterRig extends NodeRig {
  readonly table: ClusterTable;
  /** Hops to other nodes: the node's id and the connection. */
  readonly hops: { readonly id: string; readonly socket: MemorySocket; connect(): void }[];

  constructor(options: NodeRigOptions = {}) {
    const table = new ClusterTable(() => 0);
    const hops: ClusterRig["hops"] = [];
    const has = (endpointId: string, worst?: 0 | 1 | 2 | 3): boolean =>
      table.select(endpointId, this.clock.now(), undefined, worst) !== undefined;
    const poolFor = (node: RemoteNode): unknown => ({
      take: () => undefined,
      connect: (handler: SocketHandler, connect: () => void) => {
        const socket = new MemorySocket();
        socket.handler = handler;
        hops.push({ id: node.id, socket, connect });
        return socket;
      },
      put() {},
      onSuccess: () => table.onSuccess(node),
      onFailure: () => table.onFailure(node, this.clock.now()),
      onStale() {},
    });
    super({
      ...options,
      dependencies: { cluster: { has, hopSecret: undefined, table }, hops: { poolFor } as never },
    });
    this.table = table;
    this.hops = hops;
    this.upstreams.remove(this.tunnel.asTunnel());
  }

  /** Adds a tunnel to this node. */
  addTunnel(kind: Kind): MemoryTunnel {
    const tunnel = new MemoryTunnel("e");
    this.upstreams.add(tunnel.asTunnel());
    if (kind === "draining") this.upstreams.drain(tunnel.asTunnel());
    if (kind === "doubtful") this.doubt(tunnel);
    return tunnel;
  }

  /** Makes a tunnel doubtful: its agent stops responding. */
  doubt(tunnel: MemoryTunnel): void {
    Object.assign(tunnel, { doubtful: true, doubtSinceMs: this.clock.now() });
    this.upstreams.onDoubt(tunnel.asTunnel());
  }

  /** Adds another node that has a tunnel. */
  addNode(id: string, kind: Kind, address = id): void {
    this.table.join(id);
    this.table.setAddress(id, "proxyAddr", `${address}:1`);
    this.table.setAddress(id, "adminAddr", `${address}:2`);
    this.table.setListeners(id, "e", 1);
    if (kind === "draining") this.table.setDraining(id, true);
    if (kind === "doubtful") this.table.setDoubt(id, "e", 1);
    if (kind === "failed") this.table.onFailure(this.table.get(id) as RemoteNode, this.clock.now());
  }

  /** Makes the client's address that of a node without tunnels. */
  identifyAsNode(): void {
    this.addNode("sender", "well", CLIENT);
    this.table.setListeners("sender", "e", 0);
  }

  /** The latest hop. */
  get hop(): ClusterRig["hops"][number] {
    const hop = this.hops.at(-1);
    if (hop === undefined) throw new Error("no hop");
    return hop;
  }

  /** Answers the latest hop as the other node. */
  answer(text: string): void {
    this.hop.connect();
    this.hop.socket.take();
    this.hop.socket.send(text);
  }
}
