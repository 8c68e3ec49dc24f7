// Opens connections to one local service, by TCP or TLS. The files of the TLS settings are read again for each
// connection, because they may be renewed at any time.

import { isIP } from "node:net";
import { type ConnectionOptions, TLSSocket } from "node:tls";
import { ByteSocket, type ConnectOptions, type SocketHandler } from "@piko/tunnel";
import type { ClientTlsConfig } from "../config/client-tls.js";
import { type Reason, REASONS } from "../http/reasons.js";
import type { ServiceAddress } from "../base/service-address.js";
import { TlsFileSource } from "../net/tls-files.js";

/** What a connector needs to know of its service. */
export interface ServiceConnectorOptions {
  readonly addr: ServiceAddress;
  readonly tls: ClientTlsConfig;
  /** What the service may choose from by ALPN, the best first; HTTP/1.1 if absent. */
  readonly protocols?: readonly string[];
  /** Interval of TCP keep-alive probes; 0 for none. */
  readonly keepAliveMs: number;
}

const HTTP_1: readonly string[] = ["http/1.1"];

/** What the service has chosen by ALPN; undefined where it hasn't, or there is no TLS. */
export function chosenProtocol({ socket }: ByteSocket): string | undefined {
  const chosen = socket instanceof TLSSocket ? socket.alpnProtocol : null;
  return typeof chosen === "string" ? chosen : undefined;
}

/** Opens connections to one service. */
export class ServiceConnector {
  readonly #target: ConnectOptions;
  readonly #tls: (() => ConnectionOptions) | undefined;

  /** Throws when a file of the TLS settings can't be read or isn't what it should be. */
  constructor({ addr, keepAliveMs, protocols = HTTP_1, tls }: ServiceConnectorOptions) {
    const { host, port, scheme } = addr;
    this.#target = {
      host,
      port,
      keepAliveMs,
    };
    this.#tls = scheme === "https" ? tlsOptions(host, tls, protocols) : undefined;
  }

  /** Starts to connect; bytes can be written at once. The handler's `onClose` reports the result. */
  open(
    handler: SocketHandler,
    more: Pick<ConnectOptions, "clock" | "onOpen" | "timeoutMs"> = {},
  ): ByteSocket {
    const tls = this.#tls === undefined ? {} : { tls: this.#tls() };
    return ByteSocket.connect({ ...this.#target, ...tls, ...more }, handler);
  }
}

/** Why a connection failed, in one line: Node hides the reasons of several tried addresses. */
export function connectionFailure(error: Error | undefined): string {
  if (error === undefined) return "connection closed";
  if (error instanceof AggregateError && error.message === "") {
    return error.errors.map((one) => (one instanceof Error ? one.message : String(one))).join("; ");
  }
  return error.message;
}

/** The same as one of the reasons that there are. */
export function connectFailure(error: Error | undefined): Reason {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  switch ((first as NodeJS.ErrnoException | undefined)?.code) {
    case "ECONNREFUSED":
      return REASONS.connect_refused;
    case "ETIMEDOUT":
      return REASONS.connect_timeout;
    default:
      return REASONS.connect_failed;
  }
}

function tlsOptions(
  host: string,
  tls: ClientTlsConfig,
  protocols: readonly string[],
): () => ConnectionOptions {
  const source = new TlsFileSource(tls, "the service");
  // RFC 6066 section 3: no server name that is an address.
  const name = isIP(host) === 0 ? { servername: host } : {};
  return () => ({ ...source.context(), ALPNProtocols: [...protocols], ...name });
}
