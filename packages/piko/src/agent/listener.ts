// One listener of the agent: an endpoint that is listened on at the server, and the service that its streams go to.

import {
  type AnnouncedAddress,
  type Logger as ClientLogger,
  type ServerOptions,
  type TunnelStatus,
  Upstream,
} from "@piko/client/internal";
import type { Clock, StreamHandler, YamuxStream } from "@piko/tunnel";
import type { ListenerConfig } from "../config/agent.js";
import { AccessLog } from "../observability/access-log.js";
import type { ByteBudget } from "../net/byte-budget.js";
import type { Logger } from "../observability/logger.js";
import type { RequestMetrics } from "../observability/request-metrics.js";
import { ServiceConnector } from "./connect-service.js";
import { HttpService } from "./http-service.js";
import { HttpStreams } from "./http-streams.js";
import { probeService } from "./probe-service.js";
import { ServicePool } from "./service-pool.js";
import { TcpService } from "./tcp-service.js";

export interface ListenerOptions {
  readonly config: ListenerConfig;
  readonly server: ServerOptions;
  /** Time for the first connection to the server, with all its attempts. */
  readonly connectTimeoutMs: number;
  /** To how many nodes. */
  readonly tunnels: number;
  readonly metrics: RequestMetrics;
  /** Memory of heads that come in parts, of all listeners. */
  readonly budget: ByteBudget;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
  /** A tunnel is open; the first time and after each reconnect. */
  readonly onConnected: (nodeId: string | undefined, tunnels: TunnelStatus, url: string | undefined) => void;
}

/** What takes the streams of a listener. */
interface Service {
  open(stream: YamuxStream, halfClose: boolean): StreamHandler;
}

/** TCP keep-alive probes of listeners that have no setting for them. */
const TCP_KEEP_ALIVE_MS = 30_000;

export class Listener {
  readonly config: ListenerConfig;
  readonly #upstream: Upstream;
  readonly #connector: ServiceConnector;
  readonly #clock: Clock;
  readonly #pool: ServicePool | undefined;

  /** Throws when a setting can't be used. */
  constructor(options: ListenerOptions) {
    const { clock, config, connectTimeoutMs, logger, onConnected, server, tunnels } = options;
    this.config = config;
    this.#clock = clock;
    this.#connector = createConnector(config);
    let service: Service;
    if (config.protocol === "http") {
      this.#pool = createPool(options, this.#connector);
      const http = createHttpService(options, this.#pool);
      service = new HttpStreams(http);
    } else {
      this.#pool = undefined;
      service = createTcpService(options, this.#connector);
    }
    this.#upstream = new Upstream({
      ...server,
      endpointId: config.endpointId,
      connectTimeoutMs,
      tunnels,
      clock,
      logger: upstreamLogger(logger.subsystem("upstream")),
      handler: { onStream: (stream, tunnel) => service.open(stream, tunnel.capable) },
      on: { connected: ({ nodeId }) => onConnected(nodeId, this.tunnels, this.announced?.url) },
    });
  }

  /** Whether it has a tunnel to a server now. */
  get connected(): boolean {
    return this.#upstream.connected;
  }

  /** Where clients reach the endpoint, as the server has said. */
  get announced(): AnnouncedAddress | undefined {
    return this.#upstream.announced;
  }

  /** What there is of the tunnels that are wanted. */
  get tunnels(): TunnelStatus {
    return this.#upstream.tunnels;
  }

  /** Connects to the server. Rejects when that isn't possible in time, or is refused. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#upstream.start(signal);
  }

  /** Why the service can't be connected to now; undefined if it can, or the signal came first. */
  probe(signal: AbortSignal): Promise<string | undefined> {
    return probeService(this.#connector, { clock: this.#clock, signal, timeoutMs: this.config.timeoutMs });
  }

  /** There may be another token to connect with: if so, the next tunnel is opened and takes this one's place. */
  renewToken(): void {
    this.#upstream.renewToken();
  }

  /**
   * Takes nothing new, lets requests end for `graceMs`, and closes. A TCP connection has no end that could be waited for:
   * those are closed at once.
   */
  async close(graceMs: number): Promise<void> {
    await this.#upstream.close({ graceMs: this.config.protocol === "http" ? graceMs : 0 });
    this.#pool?.close();
  }
}

function createConnector({ addr, httpClient, protocol, tls }: ListenerConfig): ServiceConnector {
  const keepAliveMs = protocol === "http" ? httpClient.keepAliveTimeoutMs : TCP_KEEP_ALIVE_MS;
  return new ServiceConnector({ addr, tls, keepAliveMs });
}

function createPool(
  { budget, clock, config, wallNow }: ListenerOptions,
  connector: ServiceConnector,
): ServicePool {
  const { httpClient } = config;
  return new ServicePool({
    connector,
    maxIdle: httpClient.maxIdleConns,
    idleTimeoutMs: httpClient.idleConnTimeoutMs,
    maxResponseHeadBytes: httpClient.maxResponseHeaderBytes,
    budget,
    clock,
    wallNow,
  });
}

function createHttpService(
  { clock, config, logger, metrics }: ListenerOptions,
  pool: ServicePool,
): HttpService {
  const { accessLog, addr, endpointId, hostHeader, timeoutMs } = config;
  return new HttpService({
    endpointId,
    addr,
    hostHeader,
    timeoutMs,
    pool,
    accessLog: new AccessLog({ config: accessLog, logger, subsystem: "proxy.http.access", endpointId }),
    metrics,
    logger: logger.subsystem("proxy.http"),
    clock,
  });
}

function createTcpService(
  { clock, config, logger }: ListenerOptions,
  connector: ServiceConnector,
): TcpService {
  const { accessLog, addr, endpointId, timeoutMs } = config;
  return new TcpService({
    endpointId,
    addr: addr.text,
    connector,
    timeoutMs,
    logLevel: accessLog.disable ? undefined : accessLog.level,
    logger: logger.subsystem("proxy.tcp"),
    accessLogger: logger.subsystem("proxy.tcp.access"),
    clock,
  });
}

/** The agent says itself that it is connected. */
function upstreamLogger(logger: Logger): ClientLogger {
  return {
    debug: (message, fields) => logger.debug(message, fields),
    info: (message, fields) => logger.debug(message, fields),
    warn: (message, fields) => logger.warn(message, fields),
    error: (message, fields) => logger.error(message, fields),
  };
}
