// Connections to the other nodes' proxy ports: one pool for each node.

import type { Clock } from "@piko/tunnel";
import type { ClusterTable, RemoteNode } from "../../cluster/cluster-table.js";
import { HopPool, type HopTls } from "./hop-pool.js";

export class Hops {
  /** Requests sent to other nodes, by node. */
  readonly requests: Map<string, number> = new Map();
  readonly #table: ClusterTable;
  readonly #clock: Clock;
  readonly #tls: HopTls | undefined;
  readonly #pools = new Map<RemoteNode, HopPool>();

  /** `tls`: TLS of connections to nodes; undefined for plain connections. */
  constructor(table: ClusterTable, clock: Clock, tls?: HopTls) {
    this.#table = table;
    this.#clock = clock;
    this.#tls = tls;
  }

  /** The pool of a node, for one request, which is counted. */
  poolFor(node: RemoteNode): HopPool {
    this.requests.set(node.id, (this.requests.get(node.id) ?? 0) + 1);
    let pool = this.#pools.get(node);
    if (pool === undefined) {
      pool = new HopPool(node, this.#table, this.#clock, this.#tls);
      this.#pools.set(node, pool);
    }
    return pool;
  }

  /** The node can't be reached: closes its idle connections. */
  onUnreachable(node: RemoteNode): void {
    this.#pools.get(node)?.onUnreachable();
  }

  /** The node is gone permanently: forgets it. */
  forget(node: RemoteNode): void {
    this.#pools.get(node)?.close();
    this.#pools.delete(node);
    this.requests.delete(node.id);
  }

  /** Closes idle connections; busy ones are closed after their request. */
  close(): void {
    for (const pool of this.#pools.values()) pool.close();
  }
}
