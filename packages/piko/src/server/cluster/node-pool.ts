// Connections to the proxy port of one other node: kept between requests, opened when none is free.

import { ByteSocket, type Clock, type SocketHandler, type StreamHandler } from "@piko/tunnel";
import { parseHostPort } from "../../config/address.js";
import type { ClusterTable, RemoteNode } from "./cluster-table.js";
import { NodeStream } from "./node-stream.js";

/** Most connections to one node that are kept without a request. */
const MAX_IDLE = 128;
/** How long one is kept; less than the five minutes after which a node closes it. */
const IDLE_MS = 60_000;
/** A node that doesn't accept a connection in this time is passed over. */
const CONNECT_TIMEOUT_MS = 2_000;

interface Idle {
  readonly socket: ByteSocket;
  readonly sinceMs: number;
}

export class NodePool {
  readonly #node: RemoteNode;
  readonly #table: ClusterTable;
  readonly #clock: Clock;
  readonly #idle: Idle[] = [];
  readonly #idleHandler: SocketHandler;
  #closed = false;

  constructor(node: RemoteNode, table: ClusterTable, clock: Clock) {
    this.#node = node;
    this.#table = table;
    this.#clock = clock;
    // Nothing may come on a connection without a request; whatever does ends it.
    const drop = (): void => {
      for (const { socket } of this.#idle.splice(0)) socket.destroy();
    };
    this.#idleHandler = {
      onBytes: drop,
      onEnd: () => this.#dropEnded(),
      onDrain: () => {},
      onClose: () => this.#dropEnded(),
    };
  }

  /** A stream for one request. */
  openStream(handler: StreamHandler): NodeStream {
    return new NodeStream(this, handler);
  }

  /** For streams: a kept connection. */
  take(): ByteSocket | undefined {
    this.#dropOld();
    return this.#idle.pop()?.socket;
  }

  /** For streams: a new connection. */
  connect(handler: SocketHandler, onConnect: () => void): ByteSocket {
    const { host, port } = parseHostPort(this.#node.proxyAddr);
    const socket = ByteSocket.connect({ host, port }, handler);
    const timer = this.#clock.setTimeout(() => socket.destroy(), CONNECT_TIMEOUT_MS);
    socket.socket.once("connect", onConnect);
    socket.socket.once("connect", () => this.#clock.clearTimeout(timer));
    socket.socket.once("close", () => this.#clock.clearTimeout(timer));
    return socket;
  }

  /** For streams: the connection can carry another request. */
  put(socket: ByteSocket): void {
    socket.handler = this.#idleHandler;
    socket.resume();
    if (this.#closed || this.#idle.length >= MAX_IDLE) socket.close();
    else this.#idle.push({ socket, sinceMs: this.#clock.now() });
  }

  onSuccess(): void {
    this.#table.onSuccess(this.#node);
  }

  onFailure(): void {
    this.#table.onFailure(this.#node, this.#clock.now());
  }

  /** Ends the connections without a request; others end with theirs. */
  close(): void {
    this.#closed = true;
    for (const { socket } of this.#idle.splice(0)) socket.destroy();
  }

  #dropOld(): void {
    const oldest = this.#clock.now() - IDLE_MS;
    while ((this.#idle[0]?.sinceMs ?? Number.POSITIVE_INFINITY) < oldest)
      this.#idle.shift()?.socket.destroy();
  }

  #dropEnded(): void {
    for (let i = this.#idle.length - 1; i >= 0; i--) {
      const socket = this.#idle[i]?.socket;
      if (socket === undefined || (!socket.ended && !socket.socket.destroyed)) continue;
      this.#idle.splice(i, 1);
      socket.destroy();
    }
  }
}
