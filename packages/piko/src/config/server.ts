// The configuration of `piko server`.

import { ACCESS_LOG, type AccessLogConfig } from "./access-log.js";
import {
  ADMIN_AUTH,
  type AdminAuthConfig,
  type AuthConfig,
  auth,
  checkTenants,
  TENANTS,
  type TenantConfig,
  UPSTREAM_AUTH,
  type UpstreamAuthConfig,
} from "./auth.js";
import { type Section, section } from "./declaration.js";
import {
  address,
  bool,
  bytes,
  choice,
  duration,
  integer,
  name,
  number,
  optionalAddress,
  strings,
  text,
} from "./fields.js";
import { addressRanges, bytesLimit, countLimit } from "./limit-fields.js";
import { type GossipConfig, gossip } from "./gossip.js";
import { HTTP2, type ProxyHttp2Config } from "./http2.js";
import { PUBLIC_URL } from "./public-url.js";
import { LOG, type LogConfig } from "./log.js";
import type { PortConfig } from "./port.js";
import { serverTls, type ServerTlsConfig } from "./server-tls.js";
import { SERVER_TRACING, type ServerTracingConfig } from "./tracing.js";
import type { AddressRanges } from "../base/address-ranges.js";

/** Limits of client connections. A timeout of 0 means none. */
export interface ProxyHttpConfig {
  readonly readTimeoutMs: number;
  readonly readHeaderTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly tcpKeepAliveMs: number;
  readonly maxHeaderBytes: number;
}

/** Limits on what clients can use at a time; Infinity means no limit. */
export interface ProxyLimitsConfig {
  readonly maxConnections: number;
  readonly maxConnectionsPerClient: number;
  readonly maxRequestsPerEndpoint: number;
  readonly maxWaitingRequests: number;
  readonly maxBufferedBytes: number;
  readonly maxBufferedBytesPerConnection: number;
  readonly maxTargetBytes: number;
  readonly maxHeaderFields: number;
  readonly maxResponseHeaderBytes: number;
  readonly maxBodyBytes: number;
}

/** Whether connections begin with a PROXY protocol header. */
export type ProxyProtocolMode = "off" | "optional" | "required";

/** The port that clients send requests to. */
export interface ProxyConfig extends PortConfig {
  /** Template with `{endpoint}`; empty if there is none. */
  readonly publicUrl: string;
  readonly timeoutMs: number;
  readonly reconnectWaitMs: number;
  readonly trustedProxies: AddressRanges;
  readonly proxyProtocol: ProxyProtocolMode;
  readonly accessLog: AccessLogConfig;
  /** Number of endpoints that have their own metrics; 0 for none. */
  readonly endpointMetrics: number;
  readonly http: ProxyHttpConfig;
  readonly http2: ProxyHttp2Config;
  readonly limits: ProxyLimitsConfig;
  readonly auth: AuthConfig;
  readonly tls: ServerTlsConfig;
}

/** Limits on tunnels and on what each carries; Infinity means no limit. */
export interface UpstreamLimitsConfig {
  readonly maxTunnels: number;
  readonly maxTunnelsPerEndpoint: number;
  readonly maxTunnelsPerClient: number;
  readonly maxStreamsPerTunnel: number;
  readonly maxPendingConnections: number;
  readonly readHeaderTimeoutMs: number;
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
}

/** When a node with more tunnels than others sheds some of them. */
export interface RebalanceConfig {
  /** How far a node may be above the mean, as a fraction of it; 0 turns rebalancing off. */
  readonly threshold: number;
  /** Fraction of its tunnels that a node sheds per second. */
  readonly shedRate: number;
  readonly minConns: number;
}

/** The port that agents open their tunnels to. */
export interface UpstreamConfig extends PortConfig {
  readonly rebalance: RebalanceConfig;
  readonly limits: UpstreamLimitsConfig;
  readonly auth: UpstreamAuthConfig;
  readonly tenants: readonly TenantConfig[];
  readonly tls: ServerTlsConfig;
}

/** The port with health, metrics and status. */
export interface AdminConfig extends PortConfig {
  readonly auth: AdminAuthConfig;
  readonly tls: ServerTlsConfig;
}

/** The node as a member of a cluster. */
export interface ClusterConfig {
  readonly name: string;
  /** Empty if it is generated. */
  readonly nodeId: string;
  readonly nodeIdPrefix: string;
  /** Addresses of other nodes. */
  readonly join: readonly string[];
  readonly joinTimeoutMs: number;
  readonly abortIfJoinFails: boolean;
  readonly gossip: GossipConfig;
}

/** The whole configuration of a node. */
export interface ServerConfig {
  readonly cluster: ClusterConfig;
  readonly proxy: ProxyConfig;
  readonly upstream: UpstreamConfig;
  readonly admin: AdminConfig;
  readonly log: LogConfig;
  readonly tracing: ServerTracingConfig;
  readonly drainDelayMs: number;
  readonly drainWindowMs: number;
  readonly gracePeriodMs: number;
}

const INFERRED =
  "The default is the address that the port listens on, or the host's first private address if it listens on all interfaces.";

const HTTP: Section<ProxyHttpConfig> = section("Limits of client connections. A time limit of 0 is none.", {
  readTimeoutMs: duration(
    "10s",
    "Longest pause while the client is sending a request body. It limits pauses, not the whole body, so a slow upload may take as long as it needs.",
  ),
  readHeaderTimeoutMs: duration(
    "10s",
    "Time for a client to send a whole request head, counted from its first byte.",
  ),
  writeTimeoutMs: duration(
    "10s",
    "Longest time that a client may go without reading any of a response. It limits pauses, not the whole response, so event streams and long downloads aren't cut.",
  ),
  idleTimeoutMs: duration("5m0s", "How long an idle connection is kept open for the next request."),
  tcpKeepAliveMs: duration(
    "1m0s",
    "How long a connection may be silent before TCP keep-alive probes are sent. If the client has vanished, the connection ends about ten seconds later. Applies to upgraded connections too.",
  ),
  maxHeaderBytes: bytes(
    1_048_576,
    "Maximum size of a request head. Larger ones get 431. A connection can hold this much memory until its request head is complete.",
    { min: 1_024, max: 16_777_216 },
  ),
});

const LIMITS: Section<ProxyLimitsConfig> = section(
  "Limits on connections, requests and memory. 0 is no limit. What exceeds a limit is refused and counted in piko_proxy_limited_total.",
  {
    maxConnections: countLimit(
      65_536,
      "Maximum client connections. Further ones get 503. An idle connection takes about 8 KiB, so the default fits into half a gigabyte. Each connection also needs a file descriptor.",
    ),
    maxConnectionsPerClient: countLimit(
      16_384,
      "Maximum connections per client address, or per IPv6 /64 network. Further ones get 429. Addresses in proxy.trusted_proxies are exempt: list a load balancer there if it hides its clients' addresses. The default is a quarter of max_connections, so that one client leaves room for others.",
    ),
    maxRequestsPerEndpoint: countLimit(
      32_768,
      "Maximum requests in progress per endpoint, including upgraded and TCP connections. Further ones get 503. The default is half of max_connections, so that a service that hangs leaves room for others.",
    ),
    maxWaitingRequests: countLimit(
      4_096,
      "Maximum requests waiting for an endpoint to come back (proxy.reconnect_wait). Further ones get 503.",
    ),
    maxBufferedBytes: bytesLimit(
      268_435_456,
      "Maximum memory for buffered bytes of all clients and agents: incomplete heads, pipelined requests, and requests kept for a retry. Above it, incomplete heads get 503 and no request is kept for a retry.",
    ),
    maxBufferedBytesPerConnection: bytes(
      65_536,
      "Maximum bytes buffered per client connection. Reading of pipelined requests pauses at the limit. A request that has sent more than this isn't retried.",
      { min: 1_024, max: 16_777_216 },
    ),
    maxTargetBytes: bytesLimit(
      16_384,
      "Maximum length of a request target (path and query). Longer ones get 414. The default is twice what most servers accept.",
    ),
    maxHeaderFields: integer(
      200,
      "Maximum fields in a request or response head. A request with more gets 431, a response with more is answered with 502.",
      {
        min: 10,
      },
    ),
    maxResponseHeaderBytes: bytes(
      262_144,
      "Maximum size of a response head. A larger one is answered with 502. Each response can hold this much memory until its head is complete.",
      { min: 1_024, max: 16_777_216 },
    ),
    maxBodyBytes: bytesLimit(
      0,
      "Maximum size of a request body. Larger ones get 413: at once if Content-Length says so, otherwise when the limit is reached.",
    ),
  },
);

const PROXY: Section<ProxyConfig> = section("The port that clients send requests to.", {
  bindAddr: address(":8000", "Address to listen on for client requests."),
  advertiseAddr: optionalAddress(`Address that other nodes send requests to. ${INFERRED}`),
  publicUrl: PUBLIC_URL,
  timeoutMs: duration(
    "30s",
    "Time for an upstream to send its response head; after that the client gets 504. It never cuts a response body, an upgraded connection or an event stream. 0 is no limit.",
  ),
  reconnectWaitMs: duration(
    "5s",
    "How long a request waits when its endpoint has just lost its last upstream. If none reconnects in time, the client gets 502. 0 answers at once.",
  ),
  trustedProxies: addressRanges(
    "Addresses and networks of the proxies in front of Piko, such as 10.0.0.0/8. X-Forwarded-Proto and X-Forwarded-Host from any other client are replaced. If the list isn't empty, PROXY protocol headers are accepted from these addresses only.",
  ),
  proxyProtocol: choice(
    ["off", "optional", "required"],
    "off",
    "Whether connections begin with a PROXY protocol header (version 1 or 2), which carries the client's address. `optional` accepts connections with or without one; `required` closes those without. If proxy.trusted_proxies is empty, any client can claim any address.",
  ),
  accessLog: ACCESS_LOG,
  endpointMetrics: integer(
    0,
    "Number of endpoints with metrics of their own (piko_endpoint_*), the first ones that are served. Others are counted together as `other`. Each adds 18 series to /metrics. 0 turns them off.",
    { min: 0, max: 10_000 },
  ),
  http: HTTP,
  http2: HTTP2,
  limits: LIMITS,
  auth: auth("the proxy port"),
  tls: serverTls("the proxy port", true),
});

const UPSTREAM_LIMITS: Section<UpstreamLimitsConfig> = section(
  "Limits on tunnels and their streams, and how long agents may be silent. 0 is no limit. What exceeds a limit is refused or closed, and counted in piko_upstreams_limited_total.",
  {
    maxTunnels: countLimit(
      32_768,
      "Maximum tunnels per node. Further agents get 503 and try again. An idle tunnel takes about 10 KiB, so the default fits into a third of a gigabyte. Each tunnel also needs a file descriptor.",
    ),
    maxTunnelsPerEndpoint: countLimit(
      16_384,
      "Maximum tunnels per endpoint. Further agents get 503 and try again. The default is half of max_tunnels, so that one endpoint leaves room for others.",
    ),
    maxTunnelsPerClient: countLimit(
      8_192,
      "Maximum tunnels per address, or per IPv6 /64 network, including connections that haven't finished their upgrade. Further agents get 429 and try again. Addresses in proxy.trusted_proxies are exempt. If a load balancer hides the agents' addresses, list it there or raise this limit. The default is a quarter of max_tunnels, so that one address leaves room for others.",
    ),
    maxStreamsPerTunnel: countLimit(
      16_384,
      "Maximum requests and connections in progress per tunnel. A full tunnel is skipped; if all tunnels of an endpoint are full, clients get 503. Agents accept no more than the default.",
    ),
    maxPendingConnections: countLimit(
      16_384,
      "Maximum connections that haven't finished their upgrade request. Further ones are closed.",
    ),
    readHeaderTimeoutMs: duration("10s", "Time for an agent to send its whole upgrade request."),
    pingIntervalMs: duration(
      "30s",
      "Time between pings on a tunnel. Pings also keep proxies in between from closing the tunnel as idle.",
      { min: "100ms" },
    ),
    pingTimeoutMs: duration(
      "10s",
      "How long an agent may stay silent after a ping before its tunnel is closed. Must be less than ping_interval.",
      { min: "50ms" },
    ),
  },
  ({ pingIntervalMs, pingTimeoutMs }, report) => {
    if (pingTimeoutMs >= pingIntervalMs) report(["ping_timeout"], "must be less than ping_interval");
  },
);

const REBALANCE: Section<RebalanceConfig> = section(
  "When a node that has more tunnels than the others asks agents to move. An agent opens its new tunnel before it closes the old one, so no request is lost. Agents of Go Piko are disconnected when idle, and connect again.",
  {
    threshold: number(
      0,
      "How far above the cluster's mean a node's number of tunnels may be, as a fraction: 0.2 is 20 percent. Above it, the node sheds tunnels until it is within half the threshold. 0 turns rebalancing off.",
      { min: 0 },
    ),
    shedRate: number(0.005, "Fraction of its tunnels that a node sheds per second. At least one tunnel.", {
      min: 0,
      max: 1,
    }),
    minConns: integer(50, "A node with fewer tunnels than this sheds none.", { min: 0 }),
  },
);

const UPSTREAM: Section<UpstreamConfig> = section(
  "The port that agents open their tunnels to.",
  {
    bindAddr: address(":8001", "Address to listen on for tunnels."),
    advertiseAddr: optionalAddress(`Address at which agents reach this port. ${INFERRED}`),
    rebalance: REBALANCE,
    limits: UPSTREAM_LIMITS,
    auth: UPSTREAM_AUTH,
    tls: serverTls("the upstream port", false),
    tenants: TENANTS,
  },
  ({ tenants }, report) => checkTenants(tenants, report),
);

/** Declares the server's configuration. */
export const SERVER: Section<ServerConfig> = section("Configuration of `piko server`.", {
  cluster: section("The node as a member of a cluster.", {
    name: name(
      "piko",
      "Name of the cluster. With encrypted gossip, a node ignores messages from a cluster of another name, even if they share a key.",
    ),
    nodeId: text(
      "Unique name of the node. The default is the prefix followed by seven random characters, so that each start has a new name. Don't reuse a name shortly after its node has stopped.",
    ),
    nodeIdPrefix: text(
      "Prefix of the generated name, such as the pod's name and a dash. Ignored if cluster.node_id is set.",
    ),
    join: strings(
      "Addresses of nodes to join, as host or host:port. Without a port, this node's gossip port is used. A name may resolve to several nodes; one that answers is enough. Names are resolved again periodically, so that a partitioned cluster merges again.",
    ),
    joinTimeoutMs: duration("1m0s", "Time to find a node of cluster.join that answers.", { min: "1ns" }),
    abortIfJoinFails: bool(
      "Exit if no node of cluster.join has answered within join_timeout. If false, the node starts alone and keeps trying. A name that resolves to nothing, or to this node only, isn't a failure: that is the first node of a cluster.",
      true,
    ),
    gossip: gossip(INFERRED),
  }),
  proxy: PROXY,
  upstream: UPSTREAM,
  admin: section("The port with health, readiness, metrics and status.", {
    bindAddr: address(":8002", "Address to listen on for admin requests."),
    advertiseAddr: optionalAddress(`Address that other nodes send admin requests to. ${INFERRED}`),
    auth: ADMIN_AUTH,
    tls: serverTls("the admin port", true),
  }),
  log: LOG,
  tracing: SERVER_TRACING,
  drainDelayMs: duration(
    "5s",
    "How long a node keeps accepting requests after SIGTERM while it already reports that it isn't ready, so that load balancers notice. Skipped on SIGINT and when the terminal is closed. Part of grace_period.",
  ),
  drainWindowMs: duration(
    "10s",
    "Time over which a stopping node's tunnels move to other nodes, so that their agents don't arrive all at once. Fewer than 40 tunnels take less time. Skipped on SIGINT and when the terminal is closed. Part of grace_period.",
  ),
  gracePeriodMs: duration(
    "1m0s",
    "Total time for a node to stop: the drain delay, draining tunnels, and finishing requests. Whatever is left then is cut.",
    { min: "1ns" },
  ),
});
