// A listener of the agent: an endpoint that it listens on at the server, and the service that gets the endpoint's streams.

import {
  type AnnouncedAddress,
  ClientError,
  type Logger as ClientLogger,
  type ServerOptions,
  type TunnelStatus,
  Upstream,
} from "@piko/client/internal";
import type { Clock, StreamHandler, YamuxStream } from "@piko/tunnel";
import { hostHeaderOf, REWRITE_HOST } from "../base/host-header.js";
import type { ListenerProtocol } from "../base/service-address.js";
import type { ListenerConfig } from "../config/agent.js";
import { isChecked } from "../config/health-check.js";
import { AccessLog, accessLogSink } from "../observability/access-log.js";
import type { ByteBudget } from "../net/byte-budget.js";
import type { Tracing } from "../net/tracing/create-tracing.js";
import type { Logger } from "../observability/logger.js";
import type { EndpointCounts } from "./endpoint-counts.js";
import { ServiceConnector } from "./connect-service.js";
import { intAttribute, textAttribute } from "../observability/tracing/span.js";
import { createServiceCalls } from "./create-service-calls.js";
import { HealthCheck } from "./health-check.js";
import { HttpService } from "./http-service.js";
import { HttpStreams } from "./http-streams.js";
import { probeService } from "./probe-service.js";
import type { ServiceCalls } from "./service-calls.js";
import { TcpService } from "./tcp-service.js";

export interface ListenerOptions {
  readonly config: ListenerConfig;
  readonly server: ServerOptions;
  /** Time for the first connection to the server, including all attempts. */
  readonly connectTimeoutMs: number;
  /** Number of nodes to have tunnels to. */
  readonly tunnels: number;
  /** Counters for its requests and tunnels. */
  readonly counts: EndpointCounts;
  /** Undefined if requests aren't traced. */
  readonly tracing?: Tracing | undefined;
  /** Budget for heads that arrive in parts, shared by all listeners. */
  readonly budget: ByteBudget;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
  /** A tunnel was opened, for the first time or after a reconnect. */
  readonly onConnected: (nodeId: string | undefined, tunnels: TunnelStatus, url: string | undefined) => void;
  /** The service has become healthy, so tunnels are opened; or unhealthy, for this reason. Not called if there are no checks. */
  readonly onHealth: (healthy: boolean, reason: string) => void;
}

/** Handles the streams of a listener. */
interface Service {
  open(stream: YamuxStream, halfClose: boolean, nodeId: string | undefined): StreamHandler;
}

/** The ALPN protocols that a probe or health check offers to a service with TLS: those that its requests use. */
const OFFERED: Readonly<Record<ListenerProtocol, readonly string[]>> = {
  http: ["http/1.1"],
  h2c: ["h2"],
  h2: ["h2", "http/1.1"],
  grpc: ["h2"],
  tcp: ["http/1.1"],
};

/** Interval of TCP keep-alive probes for listeners that have no such setting. */
const TCP_KEEP_ALIVE_MS = 30_000;

export class Listener {
  readonly config: ListenerConfig;
  readonly #connector: ServiceConnector;
  readonly #clock: Clock;
  readonly #counts: EndpointCounts;
  readonly #createUpstream: () => Upstream;
  readonly #onHealth: ListenerOptions["onHealth"];
  readonly #calls: ServiceCalls | undefined;
  readonly #health: HealthCheck | undefined;
  #upstream: Upstream;
  /** Given up because the service became unhealthy; their requests are still in progress. */
  readonly #leaving = new Set<Upstream>();
  /** Whether the current upstream has been given up. */
  #left = false;
  /** The last reported result; undefined before the first check, and without health checks. */
  #healthy: boolean | undefined;
  #onFirstCheck: (() => void) | undefined;

  /** Throws if a setting can't be used. */
  constructor(options: ListenerOptions) {
    const { clock, config, connectTimeoutMs, counts, logger, onConnected, onHealth, server, tunnels } =
      options;
    this.config = config;
    this.#clock = clock;
    this.#counts = counts;
    this.#connector = createConnector(config);
    this.#onHealth = onHealth;
    let service: Service;
    if (config.protocol === "tcp") {
      this.#calls = undefined;
      service = createTcpService(options, this.#connector);
    } else {
      this.#calls = createServiceCalls(options);
      service = new HttpStreams(createHttpService(options, this.#calls));
    }
    this.#createUpstream = () =>
      new Upstream({
        ...server,
        endpointId: config.endpointId,
        connectTimeoutMs,
        tunnels,
        clock,
        logger: upstreamLogger(logger.subsystem("upstream")),
        handler: { onStream: (stream, tunnel) => service.open(stream, tunnel.capable, tunnel.nodeId) },
        on: {
          connected: ({ nodeId }) => {
            counts.opened++;
            onConnected(nodeId, this.tunnels, this.announced?.url);
          },
          reconnecting: () => {
            counts.reconnects++;
          },
        },
      });
    this.#upstream = this.#createUpstream();
    this.#health = createHealthCheck(options, this.#connector, (healthy, reason) =>
      this.#onCheck(healthy, reason),
    );
  }

  /** Whether there is a tunnel to a server, and the service isn't known to be unhealthy. */
  get connected(): boolean {
    return this.#healthy !== false && this.#upstream.connected;
  }

  /** Whether the service is healthy; undefined if that isn't checked. */
  get healthy(): boolean | undefined {
    return this.#healthy;
  }

  /** Where clients reach the endpoint, as announced by the server. */
  get announced(): AnnouncedAddress | undefined {
    return this.#upstream.announced;
  }

  /** The state of the wanted tunnels; draining ones aren't included. */
  get tunnels(): TunnelStatus {
    const { tunnels } = this.#upstream;
    return this.#healthy === false ? { ...tunnels, open: 0, nodeIds: [] } : tunnels;
  }

  /** Round-trip times to the nodes of `tunnels`, in milliseconds; undefined for those that aren't known yet. */
  get roundTripsMs(): readonly (number | undefined)[] {
    return this.#healthy === false ? [] : this.#upstream.homes.roundTripsMs;
  }

  /** Measures the round-trip time to each node. */
  timeRoundTrips(): void {
    this.#upstream.homes.timeRoundTrips();
  }

  /** Number of requests, upgraded connections and TCP connections in progress. */
  get streamCount(): number {
    return this.#upstream.streamCount;
  }

  /** Number of finished requests to the endpoint since the start. */
  get requestCount(): number {
    return this.#counts.requests.requestSize.count;
  }

  /**
   * Connects to the server. Rejects if that isn't possible in time, or is refused. If the service is checked and unhealthy,
   * no tunnel is opened until it becomes healthy.
   */
  async start(signal: AbortSignal): Promise<void> {
    if (this.#health === undefined) {
      await this.#upstream.start(signal);
      return;
    }
    const health = this.#health;
    await new Promise<void>((resolve) => {
      this.#onFirstCheck = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
      if (signal.aborted) resolve();
      else health.start();
    });
    signal.throwIfAborted();
    if (this.#healthy === false) return;
    try {
      await this.#upstream.start(signal);
    } catch (error) {
      // The upstream was given up meanwhile, because the service became unhealthy.
      const closed = error instanceof ClientError && error.code === "PIKO_CLIENT_CLOSED";
      if (!closed || !this.#left) throw error;
    }
  }

  /** Why it isn't possible to connect to the service; undefined if it is, or if the signal came first. */
  probe(signal: AbortSignal): Promise<string | undefined> {
    return probeService(this.#connector, { clock: this.#clock, signal, timeoutMs: this.config.timeoutMs });
  }

  /** The token may have changed: if so, opens a new tunnel that replaces the current one. */
  renewToken(): void {
    this.#upstream.renewToken();
  }

  /**
   * Accepts nothing new, lets requests finish for up to `graceMs`, and closes. TCP connections have no foreseeable end, so
   * they are closed immediately.
   */
  async close(graceMs: number): Promise<void> {
    this.#health?.stop();
    const options = { graceMs: this.config.protocol === "tcp" ? 0 : graceMs };
    await Promise.all([this.#upstream, ...this.#leaving].map((upstream) => upstream.close(options)));
    this.#calls?.close();
  }

  #onCheck(healthy: boolean, reason: string): void {
    const first = this.#healthy === undefined;
    this.#healthy = healthy;
    if (!first || !healthy) this.#onHealth(healthy, reason);
    if (first) this.#onFirstCheck?.();
    else if (healthy) {
      if (this.#left) this.#upstream = this.#createUpstream();
      this.#left = false;
      this.#upstream.open();
    } else this.#leave();
  }

  /** Gives up the tunnels. Requests and connections in progress can finish, without a timeout. */
  #leave(): void {
    const upstream = this.#upstream;
    this.#left = true;
    this.#leaving.add(upstream);
    void upstream.close({ graceMs: Number.POSITIVE_INFINITY }).then(() => this.#leaving.delete(upstream));
  }
}

function createHealthCheck(
  { clock, config }: ListenerOptions,
  connector: ServiceConnector,
  onChange: (healthy: boolean, reason: string) => void,
): HealthCheck | undefined {
  const { addr, healthCheck, hostHeader } = config;
  if (!isChecked(healthCheck)) return undefined;
  return new HealthCheck({
    config: healthCheck,
    connector,
    host: hostHeaderOf(hostHeader === "" ? REWRITE_HOST : hostHeader, addr) ?? "",
    clock,
    onChange,
  });
}

function createConnector({ addr, httpClient, protocol, tls }: ListenerConfig): ServiceConnector {
  const keepAliveMs = protocol === "tcp" ? TCP_KEEP_ALIVE_MS : httpClient.keepAliveTimeoutMs;
  return new ServiceConnector({ addr, tls, keepAliveMs, protocols: OFFERED[protocol] });
}

function createHttpService(
  { clock, config, counts, logger, tracing }: ListenerOptions,
  calls: ServiceCalls,
): HttpService {
  const { accessLog, addr, endpointId, hostHeader, timeoutMs } = config;
  return new HttpService({
    endpointId,
    addr,
    hostHeader,
    timeoutMs,
    calls,
    accessLog: new AccessLog({ config: accessLog, logger, subsystem: "proxy.http.access", endpointId }),
    metrics: counts.requests,
    tracer: tracing?.tracer(
      true,
      textAttribute("server.address", addr.host) + intAttribute("server.port", addr.port),
    ),
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
    accessLogger: logger.subsystem("proxy.tcp.access").to(accessLogSink(accessLog, logger.sink)),
    clock,
  });
}

/** Logs connections at debug level, because the agent itself reports them. */
function upstreamLogger(logger: Logger): ClientLogger {
  return {
    debug: (message, fields) => logger.debug(message, fields),
    info: (message, fields) => logger.debug(message, fields),
    warn: (message, fields) => logger.warn(message, fields),
    error: (message, fields) => logger.error(message, fields),
  };
}
