// Forwarding the connections of an endpoint to a service, as programs ask for it.

import { errorText } from "./errors.js";
import { listen } from "./listen.js";
import type { Listener } from "./listener.js";
import type { ListenOptions } from "./options.js";
import { HostRewriter } from "./host-rewriter.js";
import type { TlsOptions } from "./server-address.js";
import { hostHeaderOf, parseServiceAddress } from "./service-address.js";
import { ServiceBridge } from "./service-bridge.js";

/** Options of `forward`. */
export interface ForwardOptions extends ListenOptions {
  /** Milliseconds that connecting to the service may take. Default 10,000. */
  readonly dialTimeoutMs?: number | undefined;
  /**
   * For HTTP services: the `Host` that they see, `host` or `host:port`, or `rewrite` for their own address. Default: the
   * client's, and bytes that aren't looked at.
   */
  readonly hostHeader?: string | undefined;
  /** TLS towards a service that is given as `https://`, or as `tls://`. Its certificate is verified. */
  readonly serviceTls?: TlsOptions | undefined;
}

/** Longest head of a request in which the host can be changed: what Piko servers let through at most. */
const MAX_HEAD_BYTES = 1024 * 1024;

/** Milliseconds that connecting to the service may take, by default. */
const DIAL_TIMEOUT_MS = 10_000;

/**
 * Brings every connection to an endpoint to a service. `address` is one of these:
 *
 * - a port of this machine, `host:port` or `tcp://host:port`: any TCP service, byte for byte;
 * - `http://host:port` or `https://host:port`, without a path: an HTTP service;
 * - `tls://host:port`: a service that wants TLS;
 * - `unix:/path` (or `unix:///path`): a service on a Unix domain socket.
 *
 * A service that can't be reached resets the connection and is logged as a warning. Rejects as `listen` does.
 */
export async function forward(
  endpointId: string,
  address: number | string,
  options: ForwardOptions = {},
): Promise<Listener> {
  const service = parseServiceAddress(address, options.serviceTls);
  const hostHeader = hostHeaderOf(options.hostHeader, service);
  const timeoutMs = options.dialTimeoutMs ?? DIAL_TIMEOUT_MS;
  const listener = await listen(endpointId, { ...options, allowHalfOpen: true });
  const onFailed = (error: Error | undefined): void => {
    const fields = { "endpoint-id": endpointId, addr: address, error: errorText(error) };
    options.logger?.warn("failed to connect to service", fields);
  };
  return listener.on("connection", (socket) => {
    const head = hostHeader === undefined ? undefined : new HostRewriter(hostHeader, MAX_HEAD_BYTES);
    void new ServiceBridge(socket, { service, timeoutMs, onFailed, head });
  });
}
