// Opens connections to one local service, over TCP or TLS. The files of the TLS settings are read again for each
// connection, because they may be renewed at any time.

import { isIP } from "node:net";
import { type ConnectionOptions, TLSSocket } from "node:tls";
import { ByteSocket, type ConnectOptions, type SocketHandler } from "@piko/tunnel";
import type { ClientTlsConfig } from "../config/client-tls.js";
import { type Reason, REASONS } from "../http/reasons.js";
import type { ServiceAddress } from "../base/service-address.js";
import { TlsFileSource } from "../net/tls-files.js";

/** What a connector has to know about its service. */
export interface ServiceConnectorOptions {
  readonly addr: ServiceAddress;
  readonly tls: ClientTlsConfig;
  /** The protocols offered by ALPN, in order of preference; HTTP/1.1 if undefined. */
  readonly protocols?: readonly string[];
  /** Interval of TCP keep-alive probes; 0 for none. */
  readonly keepAliveMs: number;
}

const HTTP_1: readonly string[] = ["http/1.1"];

/** The protocol chosen by ALPN; undefined if there is none, or no TLS. */
export function chosenProtocol({ socket }: ByteSocket): string | undefined {
  const chosen = socket instanceof TLSSocket ? socket.alpnProtocol : null;
  return typeof chosen === "string" ? chosen : undefined;
}

/** Opens connections to one service. */
export class ServiceConnector {
  readonly #target: ConnectOptions;
  readonly #tls: (() => ConnectionOptions) | undefined;

  /** Throws if a file of the TLS settings can't be read or is invalid. */
  constructor({ addr, keepAliveMs, protocols = HTTP_1, tls }: ServiceConnectorOptions) {
    const { host, port, scheme } = addr;
    this.#target = {
      host,
      port,
      keepAliveMs,
    };
    this.#tls = scheme === "https" ? tlsOptions(host, tls, protocols) : undefined;
  }

  /** Starts to connect; bytes can be written immediately. The handler's `onClose` reports a failure. */
  open(
    handler: SocketHandler,
    more: Pick<ConnectOptions, "clock" | "onOpen" | "timeoutMs"> = {},
  ): ByteSocket {
    const tls = this.#tls === undefined ? {} : { tls: this.#tls() };
    return ByteSocket.connect({ ...this.#target, ...tls, ...more }, handler);
  }
}

/** Why a connection failed, in one line: if several addresses were tried, Node hides their errors. */
export function connectionFailure(error: Error | undefined): string {
  if (error === undefined) return "connection closed";
  if (error instanceof AggregateError && error.message === "") {
    return error.errors.map((one) => (one instanceof Error ? one.message : String(one))).join("; ");
  }
  return error.message;
}

/** The same as a reason from the table. */
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
  // RFC 6066 section 3: an address isn't allowed as the server name.
  const name = isIP(host) === 0 ? { servername: host } : {};
  return () => ({ ...source.context(), ALPNProtocols: [...protocols], ...name });
}
