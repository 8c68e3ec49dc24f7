// A listener on an endpoint: provides its connections by event, by iteration, or directly to a server.

import { EventEmitter } from "node:events";
import { type IncomingMessage, Server as HttpServer, type ServerResponse } from "node:http";
import type { StreamHandler, YamuxStream } from "@piko/tunnel";
import type { ConnectionServer } from "./connection-server.js";
import { EndpointSocket } from "./endpoint-socket.js";
import { closedError } from "./errors.js";
import { type HandlerOptions, type HttpHandler, serverOf } from "./handler-server.js";
import { Http2Gateway } from "./http2-gateway.js";
import { upstreamServer } from "./environment.js";
import type { ListenOptions } from "./options.js";
import type { TunnelStatus } from "./tunnel-status.js";
import { Upstream } from "./upstream.js";
import type { UpstreamTunnel } from "./upstream-tunnel.js";
import { WrittenFrames } from "./written-frames.js";

/** Maximum connections that wait to be accepted; more are refused. */
export const MAX_WAITING_CONNECTIONS = 256;

/** Milliseconds that connections have to end by themselves when a listener closes. */
const CLOSE_GRACE_MS = 5_000;

/** Events of a {@link Listener}, with their arguments. */
export interface ListenerEvents {
  /** A client connected to the endpoint. */
  connection: [socket: EndpointSocket];
  /** A tunnel is open. `replaced`: the previous one is still open and draining, because its node is stopping or its token has changed. */
  connected: [tunnel: { nodeId: string | undefined; replaced: boolean }];
  /** A tunnel was opened, or one was lost with its connections. `tunnels`: the current ones. */
  tunnels: [tunnels: TunnelStatus];
  /** The last tunnel was lost, with its connections, and the listener reconnects. No error: the server closed it normally. */
  disconnected: [error: Error | undefined];
  /**
   * There is no tunnel, and the next attempt to connect begins in `delayMs` milliseconds. `attempt` counts from 1 since the
   * last stable connection.
   */
  reconnecting: [attempt: { delayMs: number; attempt: number }];
  /**
   * The listener is closing: it accepts no new connections, and those in progress have `graceMs` to finish. End your event
   * streams here; they don't end by themselves.
   */
  closing: [];
  /** The listener is closed. The last event. */
  close: [];
}

/** Listens on an endpoint until it is closed, and reconnects when a server is lost. Created by `listen`. */
export class Listener extends EventEmitter<ListenerEvents> {
  readonly endpointId: string;
  readonly #allowHalfOpen: boolean;
  readonly #upstream: Upstream;
  readonly #servers = new Set<ConnectionServer>();
  readonly #waiting: EndpointSocket[] = [];
  /** All connections that aren't closed, including those that wait. */
  readonly #open = new Set<EndpointSocket>();
  readonly #takers: { resolve: (socket: EndpointSocket) => void; reject: (error: Error) => void }[] = [];
  #closed: Promise<void> | undefined;

  /** @internal Use `listen`. */
  constructor(endpointId: string, options: ListenOptions) {
    super();
    this.endpointId = endpointId;
    this.#allowHalfOpen = options.allowHalfOpen ?? false;
    const { tenantId, tls, proxyUrl, connectTimeoutMs, logger } = options;
    this.#upstream = new Upstream({
      ...upstreamServer(options),
      ...{ endpointId, tenantId, tls, proxyUrl, connectTimeoutMs, logger, tunnels: options.tunnels },
      handler: { onStream: (stream, tunnel) => this.#accept(stream, tunnel) },
      on: {
        connected: (tunnel) => this.emit("connected", tunnel),
        changed: (tunnels) => this.emit("tunnels", tunnels),
        disconnected: (error) => this.emit("disconnected", error),
        reconnecting: (delayMs, attempt) => this.emit("reconnecting", { delayMs, attempt }),
      },
    });
    // Connections may arrive before the program adds its `connection` handler.
    (this as EventEmitter).on("newListener", (event) => {
      if (event === "connection") process.nextTick(() => this.#handOut());
    });
  }

  /** Whether a tunnel is open. */
  get connected(): boolean {
    return this.#upstream.connected;
  }

  /** The node that the newest tunnel leads to; undefined while there is no tunnel, and for Go nodes. */
  get nodeId(): string | undefined {
    return this.#upstream.nodeId;
  }

  /** Where clients reach the endpoint, such as `https://my-endpoint.piko.example.com`; undefined if the server doesn't announce it. */
  get url(): string | undefined {
    return this.#upstream.announced?.url;
  }

  /** The open tunnels, and how many there should be. */
  get tunnels(): TunnelStatus {
    return this.#upstream.tunnels;
  }

  /**
   * Passes every connection to a server, or to a server that is created for a handler: anything that `serve` accepts,
   * including HTTP/2 servers, and any other server with a `connection` event. Throws PIKO_CLIENT_BAD_OPTION for a server that
   * accepts no connections, or only encrypted ones.
   */
  attach(handler: ConnectionServer | HttpHandler, options: HandlerOptions = {}): this {
    const server = serverOf(handler, options);
    this.#servers.add(server);
    if (server instanceof Http2Gateway) this.once("close", () => server.endSession());
    this.#handOut();
    return this;
  }

  /** The next connection. Rejects with PIKO_CLIENT_CLOSED when the listener is closed. */
  accept(): Promise<EndpointSocket> {
    if (this.#closed !== undefined)
      return Promise.reject(closedError(`endpoint ${this.endpointId}: listener closed`));
    return new Promise((resolve, reject) => {
      this.#takers.push({ resolve, reject });
      this.#handOut();
    });
  }

  /** Connections as they arrive, until the listener is closed. Leaving the loop leaves the listener open. */
  async *[Symbol.asyncIterator](): AsyncGenerator<EndpointSocket, void, void> {
    while (this.#closed === undefined) {
      let socket: EndpointSocket;
      try {
        socket = await this.accept();
      } catch {
        return;
      }
      yield socket;
    }
  }

  /**
   * Drains and closes: the listener accepts no new connections, requests in progress finish, and WebSockets are closed with
   * status 1001 (going away). The promise resolves when the last connection has ended, or after `graceMs` milliseconds
   * (default 5,000), when the remaining ones are cut. 0 cuts all immediately. If you have a server of your own, close it
   * afterwards: it doesn't know about these connections.
   *
   * Idempotent; a later call with a shorter grace shortens the wait. Go nodes can't be told to stop sending connections:
   * theirs still go to the attached servers while others are open.
   */
  close(options: { graceMs?: number } = {}): Promise<void> {
    const { graceMs = CLOSE_GRACE_MS } = options;
    const closing = this.#upstream.close({ graceMs });
    if (this.#closed === undefined) {
      this.#closed = closing.then(() => {
        this.emit("close");
      });
      for (const socket of this.#waiting.splice(0)) socket.destroy();
      for (const { reject } of this.#takers.splice(0))
        reject(closedError(`endpoint ${this.endpointId}: listener closed`));
      this.emit("closing");
      for (const server of this.#servers) if (server instanceof HttpServer) this.#endConnections(server);
      if (graceMs > 0) for (const socket of this.#open) socket.goAway();
    }
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal For `listen`. */
  async start(signal: AbortSignal | undefined): Promise<void> {
    await this.#upstream.start(signal);
    if (signal === undefined) return;
    const abort = (): void => void this.close({ graceMs: 0 });
    signal.addEventListener("abort", abort, { once: true });
    this.once("close", () => signal.removeEventListener("abort", abort));
    if (signal.aborted) abort();
  }

  /** From now on, the next request on each connection is its last. */
  #endConnections(server: HttpServer): void {
    const onRequest = ({ socket }: IncomingMessage, response: ServerResponse): void => {
      if (this.#open.has(socket as unknown as EndpointSocket)) response.shouldKeepAlive = false;
    };
    server.prependListener("request", onRequest);
    this.once("close", () => server.off("request", onRequest));
  }

  /** Whether connections are handed out without a call of `accept`. */
  get #listened(): boolean {
    return this.#servers.size > 0 || this.listenerCount("connection") > 0;
  }

  #accept(stream: YamuxStream, tunnel: UpstreamTunnel): StreamHandler | undefined {
    if (this.#waiting.length >= MAX_WAITING_CONNECTIONS) return undefined;
    if (this.#closed !== undefined && (tunnel.capable || !this.#listened)) return undefined;
    const { addresses } = tunnel;
    const allowHalfOpen = this.#allowHalfOpen && tunnel.capable;
    const halfClose = tunnel.capable;
    const written = new WrittenFrames();
    const connection = {
      ...{ endpointId: this.endpointId, allowHalfOpen, halfClose, addresses, written },
    };
    let handler: StreamHandler | undefined;
    const socket = new EndpointSocket(connection, (made) => {
      handler = made;
      return stream;
    });
    this.#open.add(socket);
    socket.once("close", () => {
      this.#open.delete(socket);
      const at = this.#waiting.indexOf(socket);
      if (at >= 0) this.#waiting.splice(at, 1);
    });
    // Not within the tunnel's callback: the program's handler must not affect the tunnel.
    if (this.#waiting.push(socket) === 1) process.nextTick(() => this.#handOut());
    return handler;
  }

  #handOut(): void {
    while (this.#waiting.length > 0) {
      if (!this.#listened && this.#takers.length === 0) return;
      const socket = this.#waiting.shift() as EndpointSocket;
      const taker = this.#takers.shift();
      if (taker !== undefined) {
        taker.resolve(socket);
        continue;
      }
      for (const server of this.#servers) server.emit("connection", socket);
      this.emit("connection", socket);
    }
  }
}
