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
import type { AddressRanges } from "../base/address-ranges.js";

/** Limits of client connections; a time limit of 0 is none. */
export interface ProxyHttpConfig {
  readonly readTimeoutMs: number;
  readonly readHeaderTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly tcpKeepAliveMs: number;
  readonly maxHeaderBytes: number;
}

/** How much there may be at a time of what clients cause; Infinity is no limit. */
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

/** Whether connections begin with a header of the PROXY protocol. */
export type ProxyProtocolMode = "off" | "optional" | "required";

/** The port that clients send requests to. */
export interface ProxyConfig extends PortConfig {
  /** Template with `{endpoint}`; empty for none. */
  readonly publicUrl: string;
  readonly timeoutMs: number;
  readonly reconnectWaitMs: number;
  readonly trustedProxies: AddressRanges;
  readonly proxyProtocol: ProxyProtocolMode;
  readonly accessLog: AccessLogConfig;
  readonly http: ProxyHttpConfig;
  readonly http2: ProxyHttp2Config;
  readonly limits: ProxyLimitsConfig;
  readonly auth: AuthConfig;
  readonly tls: ServerTlsConfig;
}

/** How many tunnels there may be, and how much each carries; Infinity is no limit. */
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

/** When a node with more tunnels than the others sends some of them away. */
export interface RebalanceConfig {
  /** Part of the mean by which a node may be above it; 0 turns rebalancing off. */
  readonly threshold: number;
  /** Part of its tunnels that a node sends away per second. */
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

/** The node among others. */
export interface ClusterConfig {
  readonly name: string;
  /** Empty: generated. */
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
  readonly drainDelayMs: number;
  readonly drainWindowMs: number;
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
  tcpKeepAliveMs: duration(
    "1m0s",
    "How long a client may be silent before TCP asks whether it is still there. A connection whose client is gone without a word ends about ten seconds after that, upgraded ones too.",
  ),
  maxHeaderBytes: bytes(
    1_048_576,
    "Largest request head. A connection may hold this much memory before its request is refused with 431.",
    { min: 1_024, max: 16_777_216 },
  ),
});

const LIMITS: Section<ProxyLimitsConfig> = section(
  "How much there may be at a time. 0 is no limit. What goes over a limit is refused and counted in piko_proxy_limited_total.",
  {
    maxConnections: countLimit(
      65_536,
      "Most client connections. Further ones get 503. An idle one costs about 8 KiB, so this many fit into half a gigabyte; each needs a file descriptor too.",
    ),
    maxConnectionsPerClient: countLimit(
      16_384,
      "Most connections of one client address, or of one IPv6 network of 64 bits. Further ones get 429. Addresses in proxy.trusted_proxies have no such limit; a load balancer that hides its clients' addresses belongs there. By default a quarter of max_connections, so that one client leaves room for others.",
    ),
    maxRequestsPerEndpoint: countLimit(
      32_768,
      "Most requests, upgraded and TCP connections under way to one endpoint. Further ones get 503. By default half of max_connections, so that a service that hangs leaves room for others.",
    ),
    maxWaitingRequests: countLimit(
      4_096,
      "Most requests that wait for an endpoint to come back (proxy.reconnect_wait). Further ones get 503.",
    ),
    maxBufferedBytes: bytesLimit(
      268_435_456,
      "Most memory for bytes of clients and agents that can't go on yet: heads in parts, requests sent ahead, what is kept for another try. Above it, heads in parts are refused with 503 and nothing is kept for another try.",
    ),
    maxBufferedBytesPerConnection: bytes(
      65_536,
      "Most bytes of one client that wait: what it sends ahead of its turn, after which it is read from no more until its turn has come, and what is kept of its request for another try, beyond which there is none.",
      { min: 1_024, max: 16_777_216 },
    ),
    maxTargetBytes: bytesLimit(
      16_384,
      "Longest request target (path and query). Longer ones get 414. Twice what most servers take.",
    ),
    maxHeaderFields: integer(200, "Most fields of a request or response head. More get 431 or 502.", {
      min: 10,
    }),
    maxResponseHeaderBytes: bytes(
      262_144,
      "Largest response head that is passed on. A larger one is a 502. Each response under way may hold this much until its head is whole.",
      { min: 1_024, max: 16_777_216 },
    ),
    maxBodyBytes: bytesLimit(
      0,
      "Largest request body. Larger ones get 413: at once when Content-Length says so, else when the limit is reached.",
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
    "How long a request for an endpoint that has just lost its last upstream waits for one to come back before it gets 502. 0 answers at once.",
  ),
  trustedProxies: addressRanges(
    "Addresses and networks of proxies in front, such as 10.0.0.0/8. From others X-Forwarded-Proto and X-Forwarded-Host are replaced, and a PROXY protocol header is believed from these only, unless the list is empty.",
  ),
  proxyProtocol: choice(
    ["off", "optional", "required"],
    "off",
    "Whether connections begin with a PROXY protocol header (version 1 or 2), which tells the client's address. `optional` takes it where it comes; `required` ends connections without one. Without proxy.trusted_proxies anybody can name any address.",
  ),
  accessLog: ACCESS_LOG,
  http: HTTP,
  http2: HTTP2,
  limits: LIMITS,
  auth: auth("the proxy port"),
  tls: serverTls("the proxy port", true),
});

const UPSTREAM_LIMITS: Section<UpstreamLimitsConfig> = section(
  "How many tunnels there may be, how much each carries, and how long agents may be silent. 0 is no limit. What goes over a limit is refused or ended, and counted in piko_upstreams_limited_total.",
  {
    maxTunnels: countLimit(
      32_768,
      "Most tunnels of the node. Further agents get 503 and try again. An idle one costs about 10 KiB, so this many fit into a third of a gigabyte; each needs a file descriptor too.",
    ),
    maxTunnelsPerEndpoint: countLimit(
      16_384,
      "Most tunnels of one endpoint. Further agents get 503 and try again. By default half of max_tunnels, so that one endpoint leaves room for others.",
    ),
    maxTunnelsPerClient: countLimit(
      8_192,
      "Most tunnels of one address, or of one IPv6 network of 64 bits; connections that are no tunnel yet count too. Further agents get 429 and try again. Addresses in proxy.trusted_proxies have no such limit; where a load balancer hides the agents' addresses, it has to let through what the balancer brings. By default a quarter of max_tunnels, so that one address leaves room for others.",
    ),
    maxStreamsPerTunnel: countLimit(
      16_384,
      "Most requests and connections under way in one tunnel; a full one is passed over, and when all of an endpoint are full its clients get 503. An agent takes no more than the default.",
    ),
    maxPendingConnections: countLimit(
      16_384,
      "Most connections that have not finished their upgrade request. Further ones are closed.",
    ),
    readHeaderTimeoutMs: duration("10s", "Time for an agent's whole upgrade request."),
    pingIntervalMs: duration(
      "30s",
      "Time from one ping to the next on a tunnel. They also keep proxies on the way from taking it for idle.",
      { min: "100ms" },
    ),
    pingTimeoutMs: duration(
      "10s",
      "How long nothing at all may come from an agent behind a ping; then its tunnel is ended. Less than ping_interval.",
      { min: "50ms" },
    ),
  },
  ({ pingIntervalMs, pingTimeoutMs }, report) => {
    if (pingTimeoutMs >= pingIntervalMs) report(["ping_timeout"], "must be less than ping_interval");
  },
);

const REBALANCE: Section<RebalanceConfig> = section(
  "When a node with more tunnels than the others asks agents to move. They open their new tunnel first, so that no request is lost; agents of Go Piko are cut off when they are idle, and connect again.",
  {
    threshold: number(
      0,
      "By how much a node's tunnels may be above the mean of all nodes that answer, as a part of it: 0.2 is 20 percent. Above it the node sheds until it is half as far above. 0 turns it off.",
      { min: 0 },
    ),
    shedRate: number(0.005, "Part of its tunnels that a node sends away per second, at least one.", {
      min: 0,
      max: 1,
    }),
    minConns: integer(50, "Nodes with fewer tunnels shed none.", { min: 0 }),
  },
);

const UPSTREAM: Section<UpstreamConfig> = section(
  "The port that agents open their tunnels to.",
  {
    bindAddr: address(":8001", "Address to listen on for tunnels."),
    advertiseAddr: optionalAddress(`Address that agents reach the port at. ${INFERRED}`),
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
  cluster: section("The node among others.", {
    name: name(
      "piko",
      "Name of the cluster. Nodes whose gossip is encrypted take no messages of a cluster with another name, whatever keys it has.",
    ),
    nodeId: text(
      "Unique name of the node. By default the prefix and seven random characters, so that each start has a new name; a name must not be used again soon.",
    ),
    nodeIdPrefix: text(
      "Start of the generated name, such as the pod's name and a dash. Unused when cluster.node_id is set.",
    ),
    join: strings(
      "Addresses of nodes to join: hosts or host:port, without a port the gossip port of this node. A name may stand for many nodes. One that answers is enough; names are looked up again from time to time, so that a cluster that was split comes together again.",
    ),
    joinTimeoutMs: duration("1m0s", "Time to find a node of cluster.join that answers.", { min: "1ns" }),
    abortIfJoinFails: bool(
      "End the node when none of cluster.join has answered in join_timeout; otherwise it goes on alone and keeps looking. Names without an address, or with this node's alone, are no failure: that is the first node of a cluster.",
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
  drainDelayMs: duration(
    "5s",
    "How long a node that was told to stop (SIGTERM) stays open for new requests while it already says that it is not ready, so that load balancers notice. SIGINT skips it, and so does a terminal that is closed. Part of grace_period.",
  ),
  drainWindowMs: duration(
    "10s",
    "Time over which a stopping node's tunnels are moved to other nodes, so that their agents don't come all at once; fewer than 40 take less. SIGINT skips it, and so does a terminal that is closed. Part of grace_period.",
  ),
  gracePeriodMs: duration(
    "1m0s",
    "Time for everything that a stopping node does: the drain delay, draining tunnels, finishing requests. What is left after it is cut.",
    { min: "1ns" },
  ),
});
