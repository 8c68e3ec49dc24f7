// The configuration of `piko agent`: the settings of its connection, and the listeners that use it.

import { ACCESS_LOG, type AccessLogConfig } from "./access-log.js";
import type { HostPort } from "../base/address.js";
import { isHostHeader } from "../base/host-header.js";
import { type ClientTlsConfig, clientTls } from "./client-tls.js";
import { type Field, type Section, list, mapSection, section } from "./declaration.js";
import {
  address,
  bool,
  bytes,
  choice,
  duration,
  integer,
  optionalProxyUrl,
  requiredAddress,
  requiredText,
  text,
  url,
} from "./fields.js";
import { HEALTH_CHECK, type HealthCheckConfig } from "./health-check.js";
import { LOG, type LogConfig } from "./log.js";
import { TRACING, type TracingConfig } from "./tracing.js";
import { checkToken, type ClientTokenConfig, tokenFields } from "./client-token.js";
import {
  LISTENER_PROTOCOLS,
  type ListenerProtocol,
  type ServiceAddress,
  parseServiceAddress,
} from "../base/service-address.js";

/** How the agent reaches the server. */
export interface AgentConnectConfig extends ClientTokenConfig {
  /** Base URL of the upstream port, `http` or `https`, without a trailing slash. */
  readonly url: string;
  readonly tenantId: string;
  readonly timeoutMs: number;
  /** The number of nodes to which each listener keeps a tunnel. */
  readonly tunnels: number;
  readonly tls: ClientTlsConfig;
  /** Empty if there is none. */
  readonly proxyUrl: string;
}

/** Connections to a local HTTP service. */
export interface HttpClientConfig {
  readonly keepAliveTimeoutMs: number;
  readonly idleConnTimeoutMs: number;
  /** Infinity for no limit. */
  readonly maxIdleConns: number;
  readonly maxResponseHeaderBytes: number;
  readonly disableCompression: boolean;
}

/** Connections to a local service that uses HTTP/2. */
export interface Http2ClientConfig {
  readonly maxConcurrentStreams: number;
  /** 0 for no pings. */
  readonly pingIntervalMs: number;
}

/** An endpoint that the agent listens on, and its service. */
export interface ListenerConfig {
  readonly endpointId: string;
  readonly addr: ServiceAddress;
  readonly protocol: ListenerProtocol;
  readonly timeoutMs: number;
  /** The Host that the service receives: a value, `rewrite` for the service's address, or empty for the client's. */
  readonly hostHeader: string;
  readonly healthCheck: HealthCheckConfig;
  readonly accessLog: AccessLogConfig;
  readonly httpClient: HttpClientConfig;
  readonly http2: Http2ClientConfig;
  readonly tls: ClientTlsConfig;
}

/** The whole configuration of an agent. */
export interface AgentConfig {
  readonly connect: AgentConnectConfig;
  readonly server: { readonly enabled: boolean; readonly bindAddr: HostPort };
  readonly log: LogConfig;
  readonly tracing: TracingConfig;
  readonly gracePeriodMs: number;
  readonly listeners: readonly ListenerConfig[];
}

/** As in the SDK, whose code isn't loaded just for two numbers. */
const DEFAULT_TUNNELS = 2;
const MAX_TUNNELS = 8;

/** Declares the id of an endpoint, for the agent's listeners and the forwarder's ports. */
export const ENDPOINT_ID: Field<string> = requiredText(
  "The endpoint.",
  // It is sent as one segment of a URL's path.
  /^[^\s/\p{Cc}\p{Cf}]+$/u,
  "an endpoint id without slashes, white space or characters that can't be seen",
);

type ListenerSettings = Omit<ListenerConfig, "addr"> & { readonly addr: string };

const maxIdleConns: Field<number> = integer(
  100,
  "Maximum idle connections to the service that are kept for reuse. 0 means the default of 100, -1 no limit.",
  { min: -1 },
);

const HTTP_CLIENT: Section<HttpClientConfig> = section("Connections to the service. HTTP only.", {
  keepAliveTimeoutMs: duration("30s", "Interval of TCP keep-alive probes on connections to the service."),
  idleConnTimeoutMs: duration(
    "1m30s",
    "How long an idle connection to the service is kept for the next request. 0 is no limit.",
  ),
  maxIdleConns: {
    ...maxIdleConns,
    schema: maxIdleConns.schema.transform((n) => (n === 0 ? 100 : n < 0 ? Number.POSITIVE_INFINITY : n)),
  },
  maxResponseHeaderBytes: bytes(
    262_144,
    "Maximum size of the service's response head. A larger one is answered with 502. Nodes have their own limit (`proxy.limits.max_response_header_bytes`).",
    { min: 1_024, max: 16_777_216 },
  ),
  disableCompression: bool(
    "Accepted for compatibility, and without effect: compressed responses are always passed on unchanged.",
  ),
});

const HTTP2_CLIENT: Section<Http2ClientConfig> = section(
  "Connections to a service that speaks HTTP/2 (`h2c`, `h2` and `grpc`). The settings of `http_client` apply to them as well.",
  {
    maxConcurrentStreams: integer(
      100,
      "Maximum number of concurrent requests on one connection to the service. The service can lower it. When a connection is full, the agent opens another one.",
      { min: 1, max: 8_191 },
    ),
    pingIntervalMs: duration(
      "5m30s",
      "Minimum time between two pings. If a service has sent nothing for 10 seconds while requests are in flight, the agent sends a ping; if nothing arrives within another 10 seconds, the connection is closed. gRPC servers close connections that ping more often than every 5 minutes. 0 disables pings.",
    ),
  },
);

const hostHeader: Field<string> = text(
  "The `Host` header that the service receives: a value, or `rewrite` for the service's own address, which development servers such as Vite require. By default, the client's `Host` is passed on. HTTP only.",
);

const HOST_HEADER: Field<string> = {
  ...hostHeader,
  schema: hostHeader.schema.refine((value) => value === "" || isHostHeader(value), {
    error: "must be a host, host:port or the word rewrite",
  }),
};

const LISTENER_SETTINGS: Section<ListenerSettings> = section(
  "An endpoint to listen on, and its service.",
  {
    endpointId: ENDPOINT_ID,
    addr: requiredAddress(
      "Address of the service: a port, `host:port`, or for HTTP a URL such as `https://host/path`.",
      (text) => parseServiceAddress(text, "http"),
    ),
    protocol: choice(
      LISTENER_PROTOCOLS,
      "http",
      "Protocol of the endpoint, and what the agent speaks with the service: `http` is HTTP/1.1; `h2c` is HTTP/2 without TLS; `h2` is HTTP/2 or HTTP/1.1 over TLS, whichever the service chooses; `grpc` is HTTP/2, with TLS only if the address is an `https` URL; `tcp` passes bytes on unchanged.",
    ),
    timeoutMs: duration(
      "10s",
      "Time to connect to the service and, for HTTP, to receive its response head; after that the client gets 504. It never cuts a body or an upgraded connection.",
      { min: "1ns" },
    ),
    hostHeader: HOST_HEADER,
    healthCheck: HEALTH_CHECK,
    accessLog: ACCESS_LOG,
    httpClient: HTTP_CLIENT,
    http2: HTTP2_CLIENT,
    tls: clientTls("the service"),
  },
  (listener, report) => {
    if (listener.protocol !== "http" && listener.healthCheck.path !== "") {
      report(["healthCheck", "path"], "is for http: set tcp instead");
    }
    if (listener.protocol === "tcp" && listener.hostHeader !== "") {
      report(["hostHeader"], "is for http: TCP connections are passed on unchanged");
    }
    if (listener.protocol === "tcp" && listener.addr.includes("://")) {
      report(
        ["addr"],
        `invalid address ${JSON.stringify(listener.addr)}: must be a port or host:port for tcp`,
      );
    } else if (listener.addr !== "") {
      const problem = addressProblem(listener);
      if (problem !== undefined) report(["addr"], problem);
    }
  },
);

/** Why an address doesn't fit its protocol. */
function addressProblem({ addr, protocol }: ListenerSettings): string | undefined {
  try {
    parseServiceAddress(addr, protocol);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Declares one of `listeners[]`; `agent http` and `agent tcp` get their own flags from it. */
export const LISTENER: Section<ListenerConfig> = mapSection(LISTENER_SETTINGS, (listener) => ({
  ...listener,
  addr: parseServiceAddress(listener.addr, listener.protocol),
}));

/** Declares the agent's configuration. */
export const AGENT: Section<AgentConfig> = section("Configuration of `piko agent`.", {
  connect: section<AgentConnectConfig>(
    "The connection to the server.",
    {
      url: url(
        "http://localhost:8001",
        ["http", "https", "ws", "wss"],
        "Base URL of the server's upstream port.",
      ),
      ...tokenFields("Token that the agent authenticates with."),
      tenantId: text("Tenant that the agent belongs to."),
      timeoutMs: duration(
        "30s",
        "Time to connect each listener for the first time, including retries. After that, the agent exits. Once connected, a listener reconnects without a time limit.",
        { min: "1ns" },
      ),
      tunnels: integer(
        DEFAULT_TUNNELS,
        "Number of nodes that each listener keeps a tunnel to. When one tunnel is lost, requests use the others. If the cluster has fewer nodes, one tunnel per node. Each further tunnel costs the node and the agent the memory of an idle tunnel.",
        { min: 1, max: MAX_TUNNELS },
      ),
      tls: clientTls("the server"),
      proxyUrl: optionalProxyUrl(
        ["http", "https"],
        "URL of a forward proxy through which to reach the server, such as `http://user:password@proxy:3128`. Proxy settings in the environment are not used.",
      ),
    },
    checkToken,
  ),
  server: section("The agent's own HTTP port, with health, readiness and metrics.", {
    enabled: bool("Opens the port."),
    bindAddr: address(":5000", "Address to listen on."),
  }),
  log: LOG,
  tracing: TRACING,
  gracePeriodMs: duration(
    "1m0s",
    "Time for requests in progress to finish when the agent stops. Whatever is left then is cut.",
    {
      min: "1ns",
    },
  ),
  listeners: list(
    "Endpoints to listen on. `agent http` and `agent tcp` take theirs from the command line.",
    LISTENER,
  ),
});
