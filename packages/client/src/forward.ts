// The public function that forwards the connections of an endpoint to a service.

import { ClientError, errorText } from "./errors.js";
import { Http2Gateway } from "./http2-gateway.js";
import { listen } from "./listen.js";
import type { Listener } from "./listener.js";
import type { ListenOptions } from "./options.js";
import { HostRewriter } from "./host-rewriter.js";
import { openHttp2 } from "./open-http2.js";
import type { TlsOptions } from "./server-address.js";
import { hostHeaderOf, parseServiceAddress, type ServiceAddress } from "./service-address.js";
import { ServiceBridge } from "./service-bridge.js";

/** Options of `forward`. */
export interface ForwardOptions extends ListenOptions {
  /** Timeout for connecting to the service, in milliseconds. Default 10,000. */
  readonly dialTimeoutMs?: number | undefined;
  /**
   * For HTTP services: the `Host` that they get, `host` or `host:port`, or `rewrite` for their own address. Default: the
   * client's, and the bytes are passed on unparsed.
   */
  readonly hostHeader?: string | undefined;
  /**
   * Protocol of an HTTP/2 service: `h2c` without TLS; `h2` with TLS; `grpc` with TLS if the address is an `https://` URL.
   * Default: bytes are passed on unchanged, which is HTTP/1.1 from clients of any version.
   */
  readonly protocol?: Http2Protocol | undefined;
  /** TLS options for an `https://` or `tls://` service. Its certificate is verified. */
  readonly serviceTls?: TlsOptions | undefined;
}

/** The protocol of a service that speaks HTTP/2. */
export type Http2Protocol = "h2c" | "h2" | "grpc";

/** Maximum size of a request head in which the host can be changed; the same as for Piko servers. */
const MAX_HEAD_BYTES = 1024 * 1024;

/** Default timeout for connecting to the service, in milliseconds. */
const DIAL_TIMEOUT_MS = 10_000;

/**
 * Forwards every connection to an endpoint to a service. `address` is one of these:
 *
 * - a port of this machine, `host:port` or `tcp://host:port`: any TCP service, byte for byte;
 * - `http://host:port` or `https://host:port`, without a path: an HTTP service;
 * - `tls://host:port`: a service that requires TLS;
 * - `unix:/path` (or `unix:///path`): a service on a Unix domain socket.
 *
 * A service that can't be reached resets the connection and is logged as a warning; with a `protocol`, requests get
 * 502, or the corresponding gRPC status. Rejects as `listen` does.
 */
export async function forward(
  endpointId: string,
  address: number | string,
  options: ForwardOptions = {},
): Promise<Listener> {
  const { protocol } = options;
  const service = parseServiceAddress(addressFor(address, protocol), options.serviceTls);
  const hostHeader = hostHeaderOf(options.hostHeader, service);
  const timeoutMs = options.dialTimeoutMs ?? DIAL_TIMEOUT_MS;
  if (protocol !== undefined) {
    checkProtocol(protocol, service);
    const gateway = new Http2Gateway({
      open: () => openHttp2(service, timeoutMs),
      authority: hostHeader,
      secure: service.tls !== undefined,
      maxHeaderBytes: MAX_HEAD_BYTES,
      onFailed: (error) => {
        const fields = { "endpoint-id": endpointId, addr: address, error: errorText(error) };
        options.logger?.warn("connection to service failed", fields);
      },
    });
    return (await listen(endpointId, options)).attach(gateway);
  }
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

/** With `h2`, an address without a scheme uses TLS. */
function addressFor(address: number | string, protocol: Http2Protocol | undefined): number | string {
  if (protocol !== "h2" || /^[a-z]+:\/\/|^unix:/i.test(String(address))) return address;
  return typeof address === "number" || /^\d+$/.test(address)
    ? `https://localhost:${address}`
    : `https://${address}`;
}

function checkProtocol(protocol: Http2Protocol, { tls }: ServiceAddress): void {
  const known = ["h2c", "h2", "grpc"].includes(protocol);
  const fits = known && (protocol === "grpc" || (protocol === "h2") === (tls !== undefined));
  if (fits) return;
  const reason = known ? (protocol === "h2" ? "uses TLS" : "doesn't use TLS") : "is unknown";
  throw new ClientError("PIKO_CLIENT_BAD_OPTION", `protocol: ${protocol} ${reason}`);
}
