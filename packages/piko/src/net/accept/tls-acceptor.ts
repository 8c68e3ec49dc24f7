// The TLS of a port: handles accepted sockets until their handshake is complete. A server of `node:tls` that never listens does
// the handshakes, so verification, server names (SNI), protocols (ALPN) and sessions are Node's own.

import { constants } from "node:crypto";
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { Clock } from "@piko/tunnel";
import type { ServerTlsConfig } from "../../config/server-tls.js";
import type { Logger } from "../../observability/logger.js";
import { deadlineAfter, type DeadlineSweep } from "../deadline-sweep.js";
import type { Distrusts } from "./authorities.js";
import type { Certificates } from "./certificates.js";
import { ClientCounts } from "./client-counts.js";
import { TlsConnection, type TlsConnectionOwner, type TlsRefusal } from "./tls-connection.js";

/** Takes over the connections. */
export interface TlsOwner {
  /** The handshake is done. `address` is the client's, from the PROXY header if there was one. */
  onSecure(socket: TLSSocket, address: string, lacksHeader: boolean): void;
  /** The connection isn't TLS, which is optional here; its first bytes are back in the socket. */
  onPlain(socket: Socket, address: string, lacksHeader: boolean): void;
  /** Authorities were removed: connections passed on earlier, for which `distrusts` returns true, may make no more requests. */
  onDistrust(distrusts: Distrusts): void;
  /** Whether the address is a trusted proxy, which may have any number of handshakes. */
  isTrusted(peer: string): boolean;
}

/** How a port reads PROXY protocol headers. */
export interface ProxyHeaderRule {
  /** Whether a connection from this address may begin with one. */
  isAllowed(peer: string): boolean;
  /** Whether it may lack one. */
  isOptional(peer: string): boolean;
}

export interface TlsAcceptorOptions {
  /** For the log: "proxy". */
  readonly port: string;
  readonly config: ServerTlsConfig;
  readonly certificates: Certificates;
  readonly owner: TlsOwner;
  /** Protocols of the port in order of preference (ALPN); HTTP/1.1 by default. */
  readonly protocols?: readonly string[];
  /** Undefined if there are no such headers. */
  readonly proxyHeaders?: ProxyHeaderRule;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly sweep: DeadlineSweep;
}

export class TlsAcceptor implements TlsConnectionOwner {
  /** Connections that ended before their handshake was done. */
  readonly refused: Map<TlsRefusal, number> = new Map();
  /** Completed handshakes. */
  handshakes = 0;
  /** Connections without TLS, where it is optional. */
  plain = 0;
  readonly #options: TlsAcceptorOptions;
  readonly #server: Server;
  readonly #clients: ClientCounts;
  /** By the peer's address, which also identifies a TLS socket. */
  readonly #connections = new Map<string, TlsConnection>();
  /** How often authorities of clients have been removed. */
  #distrusts = 0;
  /** Closed during its handshake. The reason follows immediately, from a socket that no longer has a peer address. */
  #lastClosed: TlsConnection | undefined;

  constructor(options: TlsAcceptorOptions) {
    this.#options = options;
    const { certificates, config } = options;
    this.#clients = new ClientCounts(config.maxHandshakesPerClient);
    const mutual = config.clientCas !== "";
    this.#server = createServer({
      ...certificates.options,
      ALPNProtocols: [...(options.protocols ?? ["http/1.1"])],
      SNICallback: (name, callback) => callback(null, certificates.contextFor(name)),
      requestCert: mutual,
      rejectUnauthorized: mutual,
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    });
    // Contexts by server name have changed already, so a client that resumes its session is checked against the same
    // certificates.
    certificates.watch((distrusts) => {
      this.#server.setSecureContext(certificates.options);
      if (distrusts === undefined) return;
      this.#distrusts++;
      options.owner.onDistrust(distrusts);
    });
    this.#server.on("secureConnection", (socket) => {
      const connection = this.#find(socket);
      if (connection === undefined) socket.destroy();
      else connection.onSecure(socket);
    });
    this.#server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
      const connection = this.#find(socket) ?? this.#lastClosed;
      socket.destroy();
      connection?.refuse(...reasonOf(error, socket));
    });
  }

  /** Connections whose handshake isn't done. */
  get pendingCount(): number {
    return this.#connections.size;
  }

  /** Takes over an accepted socket, which must be paused. */
  accept(socket: Socket, peer: string): void {
    const { clock, config, owner, proxyHeaders, sweep } = this.#options;
    const counted = !owner.isTrusted(peer);
    const full =
      this.#connections.size >= config.maxHandshakes
        ? "max_handshakes"
        : counted && !this.#clients.enter(peer)
          ? "max_handshakes_per_client"
          : undefined;
    if (full !== undefined) {
      this.#count(full, peer, "too many handshakes");
      socket.destroy();
      return;
    }
    const connection = new TlsConnection({
      socket,
      peer,
      counted,
      owner: this,
      plainAllowed: config.mode === "optional",
      header:
        proxyHeaders?.isAllowed(peer) !== true
          ? "none"
          : proxyHeaders.isOptional(peer)
            ? "optional"
            : "required",
      distrusts: this.#distrusts,
      deadlineMs: deadlineAfter(clock.now(), config.handshakeTimeoutMs),
    });
    const before = this.#connections.get(connection.key);
    this.#connections.set(connection.key, connection);
    // Its end hasn't been reported yet, but the system has already reused its address.
    before?.destroy();
    sweep.add(connection);
  }

  /** Stops accepting, and ends the handshakes in progress. */
  close(): void {
    this.#options.certificates.close();
    for (const connection of [...this.#connections.values()]) connection.destroy();
  }

  handshake(socket: Socket): void {
    this.#server.emit("connection", socket);
  }

  onSecure(connection: TlsConnection, socket: TLSSocket): void {
    const { certificates, owner } = this.#options;
    // Its handshake began with the authorities in use at that time.
    if (connection.distrusts !== this.#distrusts && certificates.authorities?.vouchFor(socket) === false) {
      socket.destroy();
      this.#count("certificate", connection.address, "authority gone");
      return;
    }
    this.handshakes++;
    owner.onSecure(socket, connection.address, !connection.hasHeader);
  }

  onPlain(connection: TlsConnection, socket: Socket): void {
    this.plain++;
    this.#options.owner.onPlain(socket, connection.address, !connection.hasHeader);
  }

  onRefused(connection: TlsConnection, refusal: TlsRefusal, detail: string): void {
    this.#count(refusal, connection.address, detail);
  }

  onClosed(connection: TlsConnection): void {
    this.#lastClosed = connection;
  }

  onGone(connection: TlsConnection): void {
    if (this.#connections.get(connection.key) === connection) this.#connections.delete(connection.key);
    if (connection.counted) this.#clients.leave(connection.peer);
    this.#options.sweep.remove(connection);
  }

  /** The connection that a TLS socket belongs to; undefined if it has ended. */
  #find(socket: TLSSocket): TlsConnection | undefined {
    return this.#connections.get(`${socket.remoteAddress} ${socket.remotePort}`);
  }

  #count(refusal: TlsRefusal, address: string, detail: string): void {
    const { logger } = this.#options;
    this.refused.set(refusal, (this.refused.get(refusal) ?? 0) + 1);
    logger.debug("tls connection refused", { "client-ip": address, reason: refusal, error: detail });
  }
}

/** Why a handshake failed. */
function reasonOf(error: NodeJS.ErrnoException, socket: TLSSocket): [TlsRefusal, string] {
  const reason: unknown = socket.authorizationError;
  if (typeof reason === "string") return ["certificate", reason];
  if (reason instanceof Error) return ["certificate", reason.message];
  const { code = error.message } = error;
  return [code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE" ? "certificate" : "handshake", code];
}
