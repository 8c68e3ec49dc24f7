// Connections to the proxy port of one other node: kept between requests, and opened if none is idle.

import type { ConnectionOptions } from "node:tls";
import { ByteSocket, type Clock, type SocketHandler } from "@piko/tunnel";
import { parseHostPort } from "../../../base/address.js";
import type { ClusterTable, RemoteNode } from "../../cluster/cluster-table.js";

/** Maximum number of idle connections to one node. */
const MAX_IDLE = 128;
/** How long an idle connection is kept; less than the five minutes after which a node closes it. */
const IDLE_MS = 60_000;
/** Maximum time for connecting to a node. */
const CONNECT_TIMEOUT_MS = 2_000;
/**
 * Delay of TCP keep-alive probes to a silent node. Gossip notices a dead node sooner, but gossip itself may be broken, so a
 * response in progress is cut only when its own connection is dead.
 */
const KEEP_ALIVE_MS = 15_000;

/** TLS options of a new connection to a node; undefined for a plain one. */
export type HopTls = (node: RemoteNode, host: string) => ConnectionOptions | undefined;

export class HopPool {
  readonly #node: RemoteNode;
  readonly #table: ClusterTable;
  readonly #clock: Clock;
  readonly #tls: HopTls | undefined;
  /** Idle connections; the last used one is at the end, and is reused first. */
  readonly #idle: IdleConnection[] = [];
  #closed = false;

  constructor(node: RemoteNode, table: ClusterTable, clock: Clock, tls?: HopTls) {
    this.#node = node;
    this.#table = table;
    this.#clock = clock;
    this.#tls = tls;
  }

  /** The number of idle connections. */
  get idleCount(): number {
    return this.#idle.length;
  }

  /** For calls: the secret by which the node recognizes hops. */
  get hopSecret(): Buffer | undefined {
    return this.#node.hopSecret;
  }

  /** For calls: takes an idle connection; undefined if there is none. */
  take(): ByteSocket | undefined {
    const oldest = this.#clock.now() - IDLE_MS;
    while ((this.#idle[0]?.sinceMs ?? Number.POSITIVE_INFINITY) < oldest) this.#idle.shift()?.close();
    return this.#idle.pop()?.socket;
  }

  /** For calls: opens a connection. */
  connect(handler: SocketHandler, onConnect: () => void): ByteSocket {
    const { host, port } = parseHostPort(this.#node.proxyAddr);
    const tls = this.#tls?.(this.#node, host);
    const options = {
      host,
      port,
      keepAliveMs: KEEP_ALIVE_MS,
      timeoutMs: CONNECT_TIMEOUT_MS,
      clock: this.#clock,
      ...(tls === undefined ? {} : { tls }),
    };
    return ByteSocket.connect({ ...options, onOpen: onConnect }, handler);
  }

  /** For calls: returns a connection that can carry another request. */
  put(socket: ByteSocket): void {
    const idle = new IdleConnection(this, socket, this.#clock.now());
    if (this.#closed || this.#idle.length >= MAX_IDLE) socket.close();
    else this.#idle.push(idle);
  }

  /** For idle connections: removes one that has ended. */
  forget(connection: IdleConnection): void {
    const at = this.#idle.lastIndexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  /** For calls: the node answers. */
  onSuccess(): void {
    this.#table.onSuccess(this.#node);
  }

  /** For calls: the node can't be reached, or doesn't answer. */
  onFailure(): void {
    this.#table.onFailure(this.#node, this.#clock.now());
  }

  /** For calls: the node had closed a kept connection, so the others are probably closed too. */
  onStale(): void {
    this.#closeIdle();
  }

  /** The node can't be reached: closes idle connections. Requests in progress check by themselves whether they can move. */
  onUnreachable(): void {
    this.#closeIdle();
  }

  /** Closes idle connections; busy ones are closed after their request. */
  close(): void {
    this.#closed = true;
    this.#closeIdle();
  }

  #closeIdle(): void {
    for (const connection of this.#idle.splice(0)) connection.close();
  }
}

/** An idle connection. It is closed if anything is received on it. */
class IdleConnection implements SocketHandler {
  readonly socket: ByteSocket;
  readonly sinceMs: number;
  readonly #pool: HopPool;

  constructor(pool: HopPool, socket: ByteSocket, sinceMs: number) {
    this.#pool = pool;
    this.socket = socket;
    this.sinceMs = sinceMs;
    socket.handler = this;
    socket.resume();
  }

  close(): void {
    this.socket.destroy();
  }

  onBytes(): void {
    this.#end();
  }

  onEnd(): void {
    this.#end();
  }

  onDrain(): void {}

  onClose(): void {
    this.#pool.forget(this);
  }

  #end(): void {
    this.#pool.forget(this);
    this.socket.destroy();
  }
}
