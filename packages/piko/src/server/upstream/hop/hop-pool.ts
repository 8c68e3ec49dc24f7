// Connections to the proxy port of one other node: kept between requests, opened when none is free.

import type { ConnectionOptions } from "node:tls";
import { ByteSocket, type Clock, type SocketHandler } from "@piko/tunnel";
import { parseHostPort } from "../../../base/address.js";
import type { ClusterTable, RemoteNode } from "../../cluster/cluster-table.js";

/** Maximum number of idle connections to one node. */
const MAX_IDLE = 128;
/** How long one is kept; less than the five minutes after which a node closes it. */
const IDLE_MS = 60_000;
/** A node that doesn't accept a connection in this time is passed over. */
const CONNECT_TIMEOUT_MS = 2_000;
/**
 * When TCP asks a silent node whether it is there. Gossip finds out sooner, but it may be gossip that is broken: a response
 * in progress is cut only when its own connection is dead.
 */
const KEEP_ALIVE_MS = 15_000;

/** TLS options of a new connection to a node; undefined for a plain one. */
export type HopTls = (node: RemoteNode, host: string) => ConnectionOptions | undefined;

export class HopPool {
  readonly #node: RemoteNode;
  readonly #table: ClusterTable;
  readonly #clock: Clock;
  readonly #tls: HopTls | undefined;
  /** The one that was used last comes last, and is used first. */
  readonly #idle: IdleConnection[] = [];
  #closed = false;

  constructor(node: RemoteNode, table: ClusterTable, clock: Clock, tls?: HopTls) {
    this.#node = node;
    this.#table = table;
    this.#clock = clock;
    this.#tls = tls;
  }

  /** Connections that wait for a request. */
  get idleCount(): number {
    return this.#idle.length;
  }

  /** For calls: by which the node knows that another node asks. */
  get hopSecret(): Buffer | undefined {
    return this.#node.hopSecret;
  }

  /** For calls: a kept connection. */
  take(): ByteSocket | undefined {
    const oldest = this.#clock.now() - IDLE_MS;
    while ((this.#idle[0]?.sinceMs ?? Number.POSITIVE_INFINITY) < oldest) this.#idle.shift()?.close();
    return this.#idle.pop()?.socket;
  }

  /** For calls: a new connection. */
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

  /** For calls: the connection can carry another request. */
  put(socket: ByteSocket): void {
    const idle = new IdleConnection(this, socket, this.#clock.now());
    if (this.#closed || this.#idle.length >= MAX_IDLE) socket.close();
    else this.#idle.push(idle);
  }

  /** For idle connections: one is over. */
  forget(connection: IdleConnection): void {
    const at = this.#idle.lastIndexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  /** For calls: the node answers. */
  onSuccess(): void {
    this.#table.onSuccess(this.#node);
  }

  /** For calls: the node doesn't. */
  onFailure(): void {
    this.#table.onFailure(this.#node, this.#clock.now());
  }

  /** For calls: the node had closed a kept connection, so the others are probably closed too. */
  onStale(): void {
    this.#closeIdle();
  }

  /** The node can't be reached: nothing is kept. What waits for it looks by itself whether it can go elsewhere. */
  onUnreachable(): void {
    this.#closeIdle();
  }

  /** Ends the connections without a request; others end with theirs. */
  close(): void {
    this.#closed = true;
    this.#closeIdle();
  }

  #closeIdle(): void {
    for (const connection of this.#idle.splice(0)) connection.close();
  }
}

/** A kept connection. Nothing may come on it: whatever does ends it. */
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
