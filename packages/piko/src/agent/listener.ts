// One listener of the agent: an endpoint that is listened on at the server, and the service that its streams go to.

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
  /** Time for the first connection to the server, with all its attempts. */
  readonly connectTimeoutMs: number;
  /** To how many nodes. */
  readonly tunnels: number;
  /** Where its requests and tunnels are counted. */
  readonly counts: EndpointCounts;
  /** Undefined: requests aren't traced. */
  readonly tracing?: Tracing | undefined;
  /** Memory of heads that come in parts, of all listeners. */
  readonly budget: ByteBudget;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
  /** A tunnel is open; the first time and after each reconnect. */
  readonly onConnected: (nodeId: string | undefined, tunnels: TunnelStatus, url: string | undefined) => void;
  /** The service is healthy, so that the listener has tunnels, or it isn't, for this reason. Not called if nothing is checked. */
  readonly onHealth: (healthy: boolean, reason: string) => void;
}

/** What takes the streams of a listener. */
interface Service {
  open(stream: YamuxStream, halfClose: boolean, nodeId: string | undefined): StreamHandler;
}

/** What a look at the service offers by ALPN, where it has TLS: what its requests are sent by. */
const OFFERED: Readonly<Record<ListenerProtocol, readonly string[]>> = {
  http: ["http/1.1"],
  h2c: ["h2"],
  h2: ["h2", "http/1.1"],
  grpc: ["h2"],
  tcp: ["http/1.1"],
};

/** TCP keep-alive probes of listeners that have no setting for them. */
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
  /** Those that run dry since the service wasn't well. */
  readonly #leaving = new Set<Upstream>();
  /** The present one has been given up. */
  #left = false;
  /** The last reported result; undefined before the first check, and if nothing is checked. */
  #healthy: boolean | undefined;
  #onFirstCheck: (() => void) | undefined;

  /** Throws when a setting can't be used. */
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

  /** Whether it has a tunnel to a server now, and its service is healthy, if that is checked. */
  get connected(): boolean {
    return this.#healthy !== false && this.#upstream.connected;
  }

  /** Whether the service is well; undefined where that isn't checked. */
  get healthy(): boolean | undefined {
    return this.#healthy;
  }

  /** Where clients reach the endpoint, as the server has said. */
  get announced(): AnnouncedAddress | undefined {
    return this.#upstream.announced;
  }

  /** What there is of the tunnels that are wanted; those that run dry aren't among them. */
  get tunnels(): TunnelStatus {
    const { tunnels } = this.#upstream;
    return this.#healthy === false ? { ...tunnels, open: 0, nodeIds: [] } : tunnels;
  }

  /** Milliseconds to each node of `tunnels` and back; undefined where that isn't known yet. */
  get roundTripsMs(): readonly (number | undefined)[] {
    return this.#healthy === false ? [] : this.#upstream.homes.roundTripsMs;
  }

  /** Times the way to each node and back. */
  timeRoundTrips(): void {
    this.#upstream.homes.timeRoundTrips();
  }

  /** Requests, upgraded and TCP connections in progress. */
  get streamCount(): number {
    return this.#upstream.streamCount;
  }

  /** Requests to the endpoint that are over, since the start. */
  get requestCount(): number {
    return this.#counts.requests.requestSize.count;
  }

  /**
   * Connects to the server. Rejects when that isn't possible in time, or is refused. Where the service is checked and isn't
   * well, nothing is opened before it is.
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
      // Given up meanwhile, because the service isn't well any more.
      const closed = error instanceof ClientError && error.code === "PIKO_CLIENT_CLOSED";
      if (!closed || !this.#left) throw error;
    }
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

  /** Gives the tunnels up. What is in progress, connections too, has all the time that it takes. */
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

/** The agent says itself that it is connected. */
function upstreamLogger(logger: Logger): ClientLogger {
  return {
    debug: (message, fields) => logger.debug(message, fields),
    info: (message, fields) => logger.debug(message, fields),
    warn: (message, fields) => logger.warn(message, fields),
    error: (message, fields) => logger.error(message, fields),
  };
}
