// The options of an upstream, and the events that it reports.

import type { Clock, StreamHandler, YamuxStream } from "@piko/tunnel";
import type { Logger } from "./logger.js";
import { badOption, type TlsSource } from "./server-address.js";
import type { Token } from "./token.js";
import type { TunnelStatus } from "./tunnel-status.js";
import type { UpstreamTunnel } from "./upstream-tunnel.js";

/** Timeout of the first connection, including all attempts. */
export const CONNECT_TIMEOUT_MS = 30_000;

/** Default number of tunnels of a listener. */
export const DEFAULT_TUNNELS = 2;
/** Maximum number of tunnels of a listener. */
export const MAX_TUNNELS = 8;

/** How to reach the server. */
export interface ServerOptions {
  /** Base URL of the upstream port, `http` or `https`. */
  readonly url: string;
  readonly token?: Token | undefined;
  readonly tenantId?: string | undefined;
  readonly tls?: TlsSource | undefined;
  /** HTTP proxy to use with CONNECT. */
  readonly proxyUrl?: string | undefined;
}

/** What happens to an upstream's tunnels. All are called from the event loop, never from within a call to the upstream. */
export interface UpstreamEvents {
  /** A tunnel is open. `replaced`: an earlier one is still open and is being drained, because its node drains or its token is outdated. */
  connected?(tunnel: { nodeId: string | undefined; replaced: boolean }): void;
  /** The tunnels have changed; reported after `connected`, and before `disconnected`. */
  changed?(tunnels: TunnelStatus): void;
  /** The last tunnel has ended. Undefined: the server closed it normally. */
  disconnected?(error: Error | undefined): void;
  /**
   * No tunnel is going to stay, and the next attempt begins in `delayMs`; `attempt` counts from 1 since the last stable
   * connection. Attempts while a tunnel is open aren't reported.
   */
  reconnecting?(delayMs: number, attempt: number): void;
}

/** What to listen on, and the handler of its streams. */
export interface UpstreamOptions extends ServerOptions {
  readonly endpointId: string;
  /** Handles the streams that the server opens; returning undefined refuses one. */
  readonly handler: { onStream(stream: YamuxStream, tunnel: UpstreamTunnel): StreamHandler | undefined };
  /** Default {@link CONNECT_TIMEOUT_MS}. Reconnecting has no limit. */
  readonly connectTimeoutMs?: number | undefined;
  /** Number of nodes to keep a tunnel to, 1 to {@link MAX_TUNNELS}; default {@link DEFAULT_TUNNELS}. */
  readonly tunnels?: number | undefined;
  readonly on?: UpstreamEvents | undefined;
  readonly logger?: Logger | undefined;
  readonly clock?: Clock | undefined;
  /** Milliseconds since 1970. */
  readonly wallNow?: (() => number) | undefined;
  /** Numbers in [0, 1). */
  readonly random?: (() => number) | undefined;
}

/** The number of tunnels that are wanted; throws PIKO_CLIENT_BAD_OPTION. */
export function tunnelCount(wanted: number = DEFAULT_TUNNELS): number {
  if (Number.isInteger(wanted) && wanted >= 1 && wanted <= MAX_TUNNELS) return wanted;
  throw badOption(`tunnels: ${wanted} is not a whole number of 1 to ${MAX_TUNNELS}`);
}
