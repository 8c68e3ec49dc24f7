// Creates the connections of a listener according to its settings.

import type { Clock } from "@piko/tunnel";
import type { ListenerConfig } from "../config/agent.js";
import type { ByteBudget } from "../net/byte-budget.js";
import { ServiceConnector } from "./connect-service.js";
import { type H2PoolOptions, H2ServicePool } from "./h2-pool.js";
import { NegotiatedPool } from "./negotiated-pool.js";
import type { ServiceCalls } from "./service-calls.js";
import { ServicePool, type ServicePoolOptions } from "./service-pool.js";

export interface ServiceCallsOptions {
  readonly config: Pick<ListenerConfig, "addr" | "httpClient" | "http2" | "protocol" | "timeoutMs" | "tls">;
  /** Budget for queued bytes, shared by all services of the agent. */
  readonly budget: ByteBudget;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

/** Throws if a file of the TLS settings can't be read or is invalid. */
export function createServiceCalls(options: ServiceCallsOptions): ServiceCalls {
  const { clock, config } = options;
  switch (config.protocol) {
    case "h2c":
    case "grpc":
      return new H2ServicePool(h2Options(options, ["h2"]));
    case "h2":
      return new NegotiatedPool({
        h1: h1Options(options),
        h2: h2Options(options, ["h2"]),
        connector: connectorOf(options, ["h2", "http/1.1"]),
        clock,
      });
    default:
      return new ServicePool(h1Options(options));
  }
}

function h1Options(options: ServiceCallsOptions): ServicePoolOptions {
  const { budget, clock, config, wallNow } = options;
  const { idleConnTimeoutMs, maxIdleConns, maxResponseHeaderBytes } = config.httpClient;
  return {
    connector: connectorOf(options, ["http/1.1"]),
    maxIdle: maxIdleConns,
    idleTimeoutMs: idleConnTimeoutMs,
    maxResponseHeadBytes: maxResponseHeaderBytes,
    budget,
    clock,
    wallNow,
  };
}

function h2Options(options: ServiceCallsOptions, protocols: readonly string[]): H2PoolOptions {
  const { budget, clock, config } = options;
  const { idleConnTimeoutMs, maxIdleConns, maxResponseHeaderBytes } = config.httpClient;
  return {
    connector: connectorOf(options, protocols),
    secure: config.addr.scheme === "https",
    timeoutMs: config.timeoutMs,
    maxConcurrentStreams: config.http2.maxConcurrentStreams,
    pingIntervalMs: config.http2.pingIntervalMs,
    maxIdle: maxIdleConns,
    idleTimeoutMs: idleConnTimeoutMs,
    maxResponseHeadBytes: maxResponseHeaderBytes,
    budget,
    clock,
  };
}

function connectorOf({ config }: ServiceCallsOptions, protocols: readonly string[]): ServiceConnector {
  const { addr, httpClient, tls } = config;
  return new ServiceConnector({ addr, tls, protocols, keepAliveMs: httpClient.keepAliveTimeoutMs });
}
