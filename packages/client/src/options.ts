// The options that the SDK's functions share, and their defaults.

import type { Logger } from "./logger.js";
import type { TlsSource } from "./server-address.js";
import type { Token } from "./token.js";

/** How to reach a Piko server. */
export interface ConnectOptions {
  /**
   * Sent as `Authorization: Bearer`. Default, if `url` isn't given either: `PIKO_CONNECT_TOKEN` of the environment for
   * listeners, `PIKO_PROXY_TOKEN` for clients of endpoints. A function is called for each connection. A listener calls it
   * again after 80 % of the token's lifetime; if it returns another token, the listener opens a new tunnel with it before it
   * closes the old one, so that nothing is lost.
   */
  readonly token?: Token | undefined;
  /** TLS options for an `https` URL. A function is called for each connection. */
  readonly tls?: TlsSource | undefined;
  /** HTTP proxy to go through by CONNECT, such as `http://user:password@proxy:3128`. */
  readonly proxyUrl?: string | undefined;
  /** Timeout for connecting, including all attempts, in milliseconds. Default 30,000. */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * Aborts connecting: the promise rejects with the signal's reason. If the listener is already open, it is closed without
   * grace; a dialled connection is destroyed.
   */
  readonly signal?: AbortSignal | undefined;
}

/** Options of `listen`, `serve` and `forward`. */
export interface ListenOptions extends ConnectOptions {
  /** Base URL of the server's upstream port. Default: `PIKO_CONNECT_URL` of the environment, or `http://localhost:8001`. */
  readonly url?: string | undefined;
  /**
   * Number of nodes that the listener keeps a tunnel to, 1 to 8. Default 2: when a node fails, requests use the other
   * tunnel. If the cluster has fewer nodes, there is one tunnel per node.
   */
  readonly tunnels?: number | undefined;
  /** Sent as `x-piko-tenant-id`. */
  readonly tenantId?: string | undefined;
  /**
   * As in `net.createServer`: true leaves a connection's writable side open when the client has ended its side. Default
   * false. Go servers don't support half-closes: through one, the end of one side ends the whole connection.
   */
  readonly allowHalfOpen?: boolean | undefined;
  /** Logs connections to the server and their loss. Default: no log. */
  readonly logger?: Logger | undefined;
}

/** Options of `dial` and `EndpointAgent`. */
export interface DialOptions extends ConnectOptions {
  /** Base URL of the server's proxy port. Default: `PIKO_PROXY_URL` of the environment, or `http://localhost:8000`. */
  readonly url?: string | undefined;
  /** As in `net.connect`: true leaves the writable side open when the peer has ended its side. Default false. */
  readonly allowHalfOpen?: boolean | undefined;
}

/** A server on this machine, as `piko server` starts it without flags. */
export const DEFAULT_UPSTREAM_URL = "http://localhost:8001";
/** The same server's proxy port. */
export const DEFAULT_PROXY_URL = "http://localhost:8000";
