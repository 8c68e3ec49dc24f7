// The TLS of a node: the certificates of its ports, and how it connects to the same ports of other nodes.

import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import type { Clock } from "@piko/tunnel";
import type { ServerConfig } from "../config/server.js";
import { hasTls, type ServerTlsConfig } from "../config/server-tls.js";
import { Certificates } from "../net/accept/certificates.js";
import type { TlsAcceptor } from "../net/accept/tls-acceptor.js";
import { TlsFileSource } from "../net/tls-files.js";
import type { RemoteNode } from "./cluster/cluster-table.js";
import type { Logger } from "../observability/logger.js";
import type { Metrics } from "../observability/metrics.js";

/** Options of a connection to a port of another node; undefined for a plain one. */
export type DialTls = (node: RemoteNode, host: string) => ConnectionOptions | undefined;

export interface NodeTlsOptions {
  readonly config: ServerConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
}

/** The TLS acceptors of a node's ports; undefined for a plain port. */
export interface TlsPorts {
  readonly proxy: TlsAcceptor | undefined;
  readonly upstream: TlsAcceptor | undefined;
  readonly admin: TlsAcceptor | undefined;
}

export class NodeTls {
  /** Undefined for a plain port. */
  readonly proxy: Certificates | undefined;
  readonly upstream: Certificates | undefined;
  readonly admin: Certificates | undefined;
  /** TLS of connections to other nodes' proxy ports. */
  readonly dialProxy: DialTls;
  /** TLS of connections to other nodes' admin ports. */
  readonly dialAdmin: DialTls;

  /**
   * Reads all files.
   *
   * @throws Error that names the unreadable file, or the files that don't match.
   */
  constructor({ config, logger, clock, wallNow }: NodeTlsOptions) {
    const certificates = (port: string, tls: ServerTlsConfig): Certificates | undefined => {
      if (!hasTls(tls)) return undefined;
      const log = logger.subsystem(port);
      if (tls.mode === "optional" && tls.clientCas !== "") {
        log.warn("plain connections are accepted without a certificate: tls.mode is optional", { port });
      }
      return new Certificates({ port, config: tls, logger: log, clock, wallNow });
    };
    const { admin, proxy, upstream } = config;
    this.proxy = certificates("proxy", proxy.tls);
    this.upstream = certificates("upstream", upstream.tls);
    this.admin = certificates("admin", admin.tls);
    this.dialProxy = dialer("proxy", proxy.tls);
    this.dialAdmin = dialer("admin", admin.tls);
  }

  addMetrics(metrics: Metrics, ports: TlsPorts): void {
    const acceptors = Object.entries(ports).filter(([, port]) => port !== undefined) as [
      string,
      TlsAcceptor,
    ][];
    metrics.add({
      name: "piko_tls_certificate_not_after_seconds",
      help: "Expiry of a certificate in use, in seconds since 1970",
      type: "gauge",
      labels: ["port", "path"],
      read: () =>
        [...this.#all()].flatMap(([port, { expiries }]) =>
          expiries.map(({ notAfterMs, path }) => ({ labels: { port, path }, value: notAfterMs / 1_000 })),
        ),
    });
    metrics.labeled(
      "counter",
      "piko_tls_handshakes_total",
      "Number of completed TLS handshakes",
      "port",
      () => acceptors.map(([port, { handshakes }]) => [port, handshakes] as const),
    );
    metrics.labeled(
      "counter",
      "piko_tls_plain_total",
      "Number of connections without TLS to a port with optional TLS",
      "port",
      () => acceptors.map(([port, { plain }]) => [port, plain] as const),
    );
    metrics.add({
      name: "piko_tls_refused_total",
      help: "Number of connections that ended before their TLS handshake was complete, by reason",
      type: "counter",
      labels: ["port", "reason"],
      read: () =>
        acceptors.flatMap(([port, { refused }]) =>
          [...refused].map(([reason, value]) => ({ labels: { port, reason }, value })),
        ),
    });
  }

  #all(): Map<string, Certificates> {
    const all = Object.entries({ proxy: this.proxy, upstream: this.upstream, admin: this.admin });
    return new Map(all.filter(([, certificates]) => certificates !== undefined) as [string, Certificates][]);
  }
}

/** The names of ports with TLS, as announced to the other nodes. */
export function portsWithTls(ports: Readonly<Record<string, ServerTlsConfig>>): string[] {
  return Object.keys(ports).filter((port) => hasTls(ports[port] as ServerTlsConfig));
}

/**
 * Decides whether connections to `port` of other nodes use TLS. Our nodes announce whether their port accepts it. For Go nodes,
 * Go's rule applies: their port has TLS if this node's own port has. If this node requires TLS, no announcement turns it off. A
 * node without any TLS settings connects without TLS.
 */
function dialer(port: string, tls: ServerTlsConfig): DialTls {
  const own = hasTls(tls);
  const requires = own && tls.mode === "required";
  const { cert, insecureSkipVerify, rootCas, serverName } = tls.client;
  if (!own && cert === "" && rootCas === "" && serverName === "" && !insecureSkipVerify)
    return () => undefined;
  const source = new TlsFileSource(tls.client, `another node's ${port} port`);
  return (node, host) => {
    const accepts = node.tlsPorts === undefined ? own : node.tlsPorts.has(port);
    if (!accepts && !requires) return undefined;
    const name = serverName === "" ? host : serverName;
    // An IP address is never sent as server name (RFC 6066 section 3), but it is verified all the same.
    return { ...source.context(), ...(isIP(name) === 0 ? { servername: name } : {}) };
  };
}
