// The agent's data path without server and WebSocket: a yamux session over loopback whose streams become exchanges, and a
// node's side of it that writes and reads raw bytes.

import { once } from "node:events";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import {
  ByteSocket,
  type Clock,
  type SocketHandler,
  type StreamHandler,
  systemClock,
  YamuxSession,
  type YamuxStream,
} from "@piko/tunnel";
import type { ClientTlsConfig } from "../src/config/client-tls.js";
import {
  type ListenerProtocol,
  type ServiceAddress,
  parseServiceAddress,
} from "../src/base/service-address.js";
import { ByteBudget } from "../src/net/byte-budget.js";
import { AccessLog } from "../src/observability/access-log.js";
import { RequestMetrics } from "../src/observability/request-metrics.js";
import { createSilentLogger } from "./silent-logger.js";
import { ServiceConnector } from "../src/agent/connect-service.js";
import { HttpService } from "../src/agent/http-service.js";
import { HttpStreams } from "../src/agent/http-streams.js";
import { createServiceCalls } from "../src/agent/create-service-calls.js";
import type { ServiceCalls } from "../src/agent/service-calls.js";
import { ServicePool } from "../src/agent/service-pool.js";
import { TcpService } from "../src/agent/tcp-service.js";
import { NodeStream } from "./node-stream.js";

export const NO_TLS: ClientTlsConfig = { cert: "", key: "", rootCas: "", insecureSkipVerify: false };

export interface AgentRigOptions {
  /** Port or URL of the service. */
  readonly service: number | string;
  readonly protocol?: ListenerProtocol;
  /** For a service that speaks HTTP/2. */
  readonly maxConcurrentStreams?: number;
  readonly timeoutMs?: number;
  readonly hostHeader?: string;
  readonly maxIdle?: number;
  readonly idleTimeoutMs?: number;
  readonly tls?: ClientTlsConfig;
  readonly clock?: Clock;
  readonly wallNow?: () => number;
  readonly halfClose?: boolean;
}

/** One listener of an agent, connected to a node that the test plays. */
export class AgentRig {
  readonly pool: ServicePool;
  readonly calls: ServiceCalls;
  readonly metrics: RequestMetrics;
  /** Counts of statuses, from the metrics. */
  get statuses(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { labels, latency } of this.metrics.series()) counts[labels["status"] ?? ""] = latency.count;
    return counts;
  }
  readonly #node: YamuxSession;
  readonly #agent: YamuxSession;
  readonly #sockets: ByteSocket[];

  private constructor(
    pool: ServicePool,
    calls: ServiceCalls,
    metrics: RequestMetrics,
    node: YamuxSession,
    agent: YamuxSession,
    sockets: ByteSocket[],
  ) {
    this.pool = pool;
    this.calls = calls;
    this.metrics = metrics;
    this.#node = node;
    this.#agent = agent;
    this.#sockets = sockets;
  }

  static async start(options: AgentRigOptions): Promise<AgentRig> {
    const { clock = systemClock, halfClose = true, protocol = "http", timeoutMs = 10_000 } = options;
    const text = typeof options.service === "number" ? `127.0.0.1:${options.service}` : options.service;
    const addr = parseServiceAddress(text, protocol);
    const connector = new ServiceConnector({ addr, tls: options.tls ?? NO_TLS, keepAliveMs: 30_000 });
    const { idleTimeoutMs = 90_000, maxIdle = 100 } = options;
    const pool = new ServicePool({
      connector,
      maxIdle,
      idleTimeoutMs,
      maxResponseHeadBytes: 64 * 1024,
      budget: new ByteBudget(Number.POSITIVE_INFINITY),
      clock,
      wallNow: options.wallNow ?? Date.now,
    });
    const calls: ServiceCalls =
      protocol === "http" || protocol === "tcp" ? pool : h2Calls(options, addr, clock, timeoutMs);
    const logger = createSilentLogger();
    const metrics = new RequestMetrics({ endpoint: "my-endpoint" });
    const noFilter = { allowList: [], blockList: [] };
    const accessLog = new AccessLog({
      config: {
        level: "info",
        requestHeaders: noFilter,
        responseHeaders: noFilter,
        disable: false,
        format: "log",
        path: "",
        sample: 1,
      },
      logger,
      subsystem: "proxy.http.access",
    });
    const endpointId = "my-endpoint";
    const hostHeader = options.hostHeader ?? "";
    const http = new HttpService({
      endpointId,
      addr,
      hostHeader,
      timeoutMs,
      calls,
      accessLog,
      metrics,
      tracer: undefined,
      logger,
      clock,
    });
    const streams = new HttpStreams(http);
    const tcp = new TcpService({
      endpointId,
      addr: text,
      connector,
      timeoutMs,
      logLevel: undefined,
      logger,
      accessLogger: createSilentLogger(),
      clock,
    });
    const open = (stream: YamuxStream): StreamHandler =>
      protocol === "tcp" ? tcp.open(stream, halfClose) : streams.open(stream, halfClose, undefined);
    const [nodeSocket, agentSocket] = await loopback();
    const node = session("server", nodeSocket, () => undefined);
    const agent = session("client", agentSocket, open);
    return new AgentRig(pool, calls, metrics, node, agent, [nodeSocket, agentSocket]);
  }

  /** Opens a stream as a node does. */
  open(): NodeStream {
    const handler = new NodeStream();
    handler.stream = this.#node.openStream(handler);
    handler.stream?.flushFlags();
    return handler;
  }

  /** Sends one request and reads until the stream ends. */
  async request(text: string): Promise<NodeStream> {
    return await this.open().write(text).over();
  }

  /** Number of streams that the agent has. */
  get agentStreams(): number {
    return this.#agent.streamCount;
  }

  /** Cuts the tunnel. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#agent.end();
    this.#node.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.calls.close();
    await Promise.all(this.#sockets.map(({ socket }) => (socket.closed ? undefined : once(socket, "close"))));
  }
}

function h2Calls(
  {
    idleTimeoutMs = 90_000,
    maxConcurrentStreams = 100,
    maxIdle = 100,
    protocol = "h2c",
    tls,
    wallNow,
  }: AgentRigOptions,
  addr: ServiceAddress,
  clock: Clock,
  timeoutMs: number,
): ServiceCalls {
  const httpClient = {
    keepAliveTimeoutMs: 30_000,
    idleConnTimeoutMs: idleTimeoutMs,
    maxIdleConns: maxIdle,
    maxResponseHeaderBytes: 64 * 1024,
    disableCompression: false,
  };
  return createServiceCalls({
    config: {
      addr,
      protocol,
      timeoutMs,
      httpClient,
      http2: { maxConcurrentStreams, pingIntervalMs: 330_000 },
      tls: tls ?? NO_TLS,
    },
    budget: new ByteBudget(Number.POSITIVE_INFINITY),
    clock,
    wallNow: wallNow ?? Date.now,
  });
}

/** A raw TCP service; `onConnection` decides what it does. */
export class RawService {
  readonly server: Server;
  readonly connections: Socket[] = [];
  onConnection: (socket: Socket, index: number) => void;
  #waiters: (() => void)[] = [];

  constructor(onConnection: (socket: Socket, index: number) => void) {
    this.onConnection = onConnection;
    this.server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      socket.on("error", () => {});
      this.connections.push(socket);
      this.onConnection(socket, this.connections.length - 1);
      for (const wake of this.#waiters.splice(0)) wake();
    });
  }

  static async start(onConnection: (socket: Socket, index: number) => void): Promise<RawService> {
    const service = new RawService(onConnection);
    service.server.listen(0, "127.0.0.1");
    await once(service.server, "listening");
    return service;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Resolves with connection number `index` once there is one. */
  async connection(index: number): Promise<Socket> {
    for (;;) {
      const socket = this.connections[index];
      if (socket !== undefined) return socket;
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  /** Resolves when the agent has closed connection number `index`, in whichever way. */
  async gone(index: number): Promise<void> {
    const socket = await this.connection(index);
    if (socket.readableEnded || socket.destroyed) return;
    socket.resume();
    await new Promise<void>((resolve) => {
      socket.once("end", resolve);
      socket.once("close", resolve);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.connections) socket.destroy();
    if (!this.server.listening) return;
    this.server.close();
    await once(this.server, "close");
  }
}

/** Answers each request head with the result of `answer`; for requests without bodies. */
export function answering(
  answer: (head: string, index: number) => string | undefined,
): (socket: Socket) => void {
  let index = 0;
  return (socket) => {
    let text = "";
    socket.on("data", (data) => {
      text += data.toString("latin1");
      for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
        const head = text.slice(0, end + 4);
        text = text.slice(end + 4);
        const response = answer(head, index++);
        if (response !== undefined) socket.write(response, "latin1");
      }
    });
    socket.on("end", () => socket.end());
  };
}

/** Disposes of what a test uses, in reverse order; `dispose` is for `afterEach`. */
export class Fixtures {
  readonly #used: AsyncDisposable[] = [];

  add<T extends AsyncDisposable>(one: T): T {
    this.#used.push(one);
    return one;
  }

  async rig(options: AgentRigOptions): Promise<AgentRig> {
    return this.add(await AgentRig.start(options));
  }

  async raw(onConnection: RawService["onConnection"]): Promise<RawService> {
    return this.add(await RawService.start(onConnection));
  }

  /** Starts a node:http service; resolves to its port. */
  async http(listener: RequestListener): Promise<number> {
    const server = createHttpServer(listener);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    this.add({
      [Symbol.asyncDispose]: async () => {
        server.close();
        server.closeAllConnections();
        if (server.listening) await once(server, "close");
      },
    });
    return (server.address() as AddressInfo).port;
  }

  async dispose(): Promise<void> {
    for (const one of this.#used.splice(0).reverse()) await one[Symbol.asyncDispose]();
  }
}

/** Resolves with what arrives on a socket, once `isComplete` returns true. */
export async function received(socket: Socket, isComplete: (text: string) => boolean): Promise<string> {
  let text = "";
  return await new Promise((resolve, reject) => {
    const onData = (data: Buffer): void => {
      text += data.toString("latin1");
      if (!isComplete(text)) return;
      socket.off("data", onData);
      resolve(text);
    };
    socket.on("data", onData);
    socket.once("close", () => reject(new Error(`closed after ${JSON.stringify(text)}`)));
  });
}

function session(
  role: "client" | "server",
  socket: ByteSocket,
  onStream: (stream: YamuxStream) => StreamHandler | undefined,
): YamuxSession {
  const yamux = new YamuxSession({
    role,
    out: socket.out,
    clock: systemClock,
    handler: { onStream, onGoAway() {}, onFailed: () => socket.destroy() },
  });
  const handler: SocketHandler = {
    onBytes: (buffer, start, end) => yamux.receive(buffer, start, end),
    onEnd: () => socket.destroy(),
    onDrain: () => yamux.drained(),
    onClose: () => yamux.end(),
  };
  socket.handler = handler;
  return yamux;
}

const IGNORE: SocketHandler = { onBytes() {}, onEnd() {}, onDrain() {}, onClose() {} };

async function loopback(): Promise<[ByteSocket, ByteSocket]> {
  const server = createServer({ pauseOnConnect: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const near = ByteSocket.connect(
    { host: "127.0.0.1", port: (server.address() as AddressInfo).port },
    IGNORE,
  );
  const [socket] = await accepted;
  server.close();
  return [near, ByteSocket.accept(socket, IGNORE)];
}
