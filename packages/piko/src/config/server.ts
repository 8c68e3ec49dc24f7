// The configuration of `piko server`.

import { ACCESS_LOG, type AccessLogConfig } from "./access-log.js";
import type { HostPort } from "./address.js";
import { type Section, section } from "./declaration.js";
import { address, bytes, duration, optionalAddress, text } from "./fields.js";
import { LOG, type LogConfig } from "./log.js";

/** Where a port listens, and what others are told to reach it at. */
export interface PortConfig {
  readonly bindAddr: HostPort;
  /** Undefined: inferred from the address that the port really listens on. */
  readonly advertiseAddr: HostPort | undefined;
}

/** Limits of client connections; a time limit of 0 is none. */
export interface ProxyHttpConfig {
  readonly readTimeoutMs: number;
  readonly readHeaderTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly maxHeaderBytes: number;
}

/** The port that clients send requests to. */
export interface ProxyConfig extends PortConfig {
  readonly timeoutMs: number;
  readonly reconnectWaitMs: number;
  readonly accessLog: AccessLogConfig;
  readonly http: ProxyHttpConfig;
}

/** The node's name among others. */
export interface ClusterConfig {
  /** Empty: generated. */
  readonly nodeId: string;
  readonly nodeIdPrefix: string;
}

/** The whole configuration of a node. */
export interface ServerConfig {
  readonly cluster: ClusterConfig;
  readonly proxy: ProxyConfig;
  readonly upstream: PortConfig;
  readonly admin: PortConfig;
  readonly log: LogConfig;
  readonly drainDelayMs: number;
  readonly gracePeriodMs: number;
}

const INFERRED =
  "By default the address that the port listens on; when that is all interfaces, the host's first private address.";

const HTTP: Section<ProxyHttpConfig> = section("Limits of client connections. A time limit of 0 is none.", {
  readTimeoutMs: duration(
    "10s",
    "Longest pause of a client while more of its request body is expected. It limits pauses, not the whole body, so slow uploads live as long as they move.",
  ),
  readHeaderTimeoutMs: duration(
    "10s",
    "Time for a client to send a whole request head, from its first byte.",
  ),
  writeTimeoutMs: duration(
    "10s",
    "Longest time that a client may take no byte of a response that is waiting for it. It limits pauses, not the whole response, so event streams and long downloads live.",
  ),
  idleTimeoutMs: duration("5m0s", "How long an idle connection is kept open for the next request."),
  maxHeaderBytes: bytes(
    1_048_576,
    "Largest request head. A connection may hold this much memory before its request is refused with 431.",
    { min: 1_024, max: 16_777_216 },
  ),
});

const PROXY: Section<ProxyConfig> = section("The port that clients send requests to.", {
  bindAddr: address(":8000", "Address to listen on for client requests."),
  advertiseAddr: optionalAddress(`Address that other nodes send requests to. ${INFERRED}`),
  timeoutMs: duration(
    "30s",
    "Time for an upstream to send its response head; after that the client gets 504. It never cuts a response body, an upgraded connection or an event stream. 0 is no limit.",
  ),
  reconnectWaitMs: duration(
    "5s",
    "How long a request for an endpoint that has just lost its last upstream waits for one to come back before it gets 502. 0 answers at once.",
  ),
  accessLog: ACCESS_LOG,
  http: HTTP,
});

/** Declares the server's configuration. */
export const SERVER: Section<ServerConfig> = section("Configuration of `piko server`.", {
  cluster: section("The node's name.", {
    nodeId: text(
      "Unique name of the node. By default the prefix and seven random characters, so that each start has a new name; a name must not be used again soon.",
    ),
    nodeIdPrefix: text(
      "Start of the generated name, such as the pod's name and a dash. Unused when cluster.node_id is set.",
    ),
  }),
  proxy: PROXY,
  upstream: section("The port that agents open their tunnels to.", {
    bindAddr: address(":8001", "Address to listen on for tunnels."),
    advertiseAddr: optionalAddress(`Address that agents reach the port at. ${INFERRED}`),
  }),
  admin: section("The port with health, readiness, metrics and status.", {
    bindAddr: address(":8002", "Address to listen on for admin requests."),
    advertiseAddr: optionalAddress(`Address that other nodes send admin requests to. ${INFERRED}`),
  }),
  log: LOG,
  drainDelayMs: duration(
    "5s",
    "How long a node that was told to stop (SIGTERM) stays open for new requests while it already says that it is not ready, so that load balancers notice. SIGINT skips it. Part of grace_period.",
  ),
  gracePeriodMs: duration(
    "1m0s",
    "Time for everything that a stopping node does: the drain delay, draining tunnels, finishing requests. What is left after it is cut.",
    { min: "1ns" },
  ),
});
