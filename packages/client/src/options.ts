// The options that the SDK's functions share, and their defaults.

import type { Logger } from "./logger.js";
import type { TlsSource } from "./server-address.js";
import type { Token } from "./token.js";

/** How a Piko server is reached. */
export interface ConnectOptions {
  /**
   * Sent as `Authorization: Bearer`. Default, if `url` isn't given either: `PIKO_CONNECT_TOKEN` of the environment for
   * listeners, `PIKO_PROXY_TOKEN` for clients of endpoints. A function is asked anew for each connection; a listener asks it again when 80 % of the
   * token's life are over, and opens its next tunnel first when it gives another one, so that nothing is lost.
   */
  readonly token?: Token | undefined;
  /** TLS of an `https` URL. A function is asked anew for each connection. */
  readonly tls?: TlsSource | undefined;
  /** HTTP proxy to go through by CONNECT, such as `http://user:password@proxy:3128`. */
  readonly proxyUrl?: string | undefined;
  /** Milliseconds that connecting may take, with all its attempts. Default 30,000. */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * Gives up connecting: the promise rejects with the signal's reason. A listener that is open is closed by it, without
   * grace; a dialled connection is destroyed.
   */
  readonly signal?: AbortSignal | undefined;
}

/** Options of `listen`, `serve` and `forward`. */
export interface ListenOptions extends ConnectOptions {
  /** Base URL of the server's upstream port. Default: `PIKO_CONNECT_URL` of the environment, or `http://localhost:8001`. */
  readonly url?: string | undefined;
  /**
   * How many nodes of the cluster the listener keeps a tunnel to, 1 to 8. Default 2: when a node is lost, requests go on over
   * the other tunnel. Where the cluster has fewer nodes there are as many as it has.
   */
  readonly tunnels?: number | undefined;
  /** Sent as `x-piko-tenant-id`. */
  readonly tenantId?: string | undefined;
  /**
   * As in `net.createServer`: true leaves a connection's writable side open when the client has ended its side. Default
   * false. Go servers know no half-closes: behind one, a connection that has ended is over.
   */
  readonly allowHalfOpen?: boolean | undefined;
  /** Told of connections to the server and their loss. Default: nothing is written. */
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
