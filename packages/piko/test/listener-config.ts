// A listener's configuration with the agent's defaults.

import { type ListenerProtocol, parseServiceAddress } from "../src/base/service-address.js";
import type { ListenerConfig } from "../src/config/agent.js";
import type { TracingConfig } from "../src/config/tracing.js";
import { NO_TLS } from "./agent-rig.js";

/** The default: no tracing. */
export const NO_TRACING: TracingConfig = {
  url: "",
  headers: [],
  sample: 1,
  timeoutMs: 10_000,
  maxQueuedSpans: 2_048,
  tls: NO_TLS,
};

const NO_FILTER = { allowList: [], blockList: [] };

export function listenerConfig(
  endpointId: string,
  addr: string | number,
  protocol: ListenerProtocol = "http",
): ListenerConfig {
  return {
    endpointId,
    addr: parseServiceAddress(String(addr), protocol),
    protocol,
    timeoutMs: 10_000,
    hostHeader: "",
    healthCheck: {
      path: "",
      tcp: false,
      intervalMs: 5_000,
      timeoutMs: 2_000,
      unhealthyThreshold: 3,
      healthyThreshold: 2,
    },
    accessLog: {
      level: "info",
      requestHeaders: NO_FILTER,
      responseHeaders: NO_FILTER,
      disable: false,
      format: "log",
      path: "",
      sample: 1,
    },
    httpClient: {
      keepAliveTimeoutMs: 30_000,
      idleConnTimeoutMs: 90_000,
      maxIdleConns: 100,
      maxResponseHeaderBytes: 262_144,
      disableCompression: false,
    },
    http2: { maxConcurrentStreams: 100, pingIntervalMs: 330_000 },
    tls: NO_TLS,
  };
}
