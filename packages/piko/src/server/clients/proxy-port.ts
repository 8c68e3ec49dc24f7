// The proxy port, which clients send requests to.

import { ByteSocket, type SocketHandler } from "@piko/tunnel";
import type { ProxyLimitsConfig } from "../../config/server.js";
import type { AccessLog } from "../../observability/access-log.js";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { HostPort } from "../../base/address.js";
import type { HttpError } from "../../http/errors.js";
import { errorResponse } from "../../http/h1/error-response.js";
import { beginsHttp2, refusedConnection } from "../../http/h2/refused-connection.js";
import { deadlineAfter } from "../../net/deadline-sweep.js";
import { setKeepAlive } from "../../net/keep-alive.js";
import { nextTurn } from "../../net/next-turn.js";
import { peerAddress } from "../../net/peer-address.js";
import { certificateSubject, type Distrusts } from "../../net/accept/authorities.js";
import type { Certificates } from "../../net/accept/certificates.js";
import { TcpListener } from "../../net/accept/tcp-listener.js";
import { TlsAcceptor, type TlsOwner } from "../../net/accept/tls-acceptor.js";
import type { Client, ClientConnection } from "./client.js";
import { H1Client } from "./h1-client.js";
import { createH2Shared, H2Client, type H2Shared } from "./h2-client.js";
import { ProtocolChoice } from "./protocol-choice.js";
import { ClientCounts } from "../../net/accept/client-counts.js";
import type { ProxyContext } from "../exchange/proxy-context.js";
import { ProxyHeaderConnection, type ProxyHeaderOwner } from "../../net/accept/proxy-header-connection.js";
import {
  fieldsOf,
  PROXY_HEADER_MISSING,
  TOO_MANY_CONNECTIONS,
  TOO_MANY_FILES,
  TOO_MANY_FROM_CLIENT,
} from "../exchange/proxy-limits.js";
import { MAX_REFUSED, RefusedConnection } from "../../net/accept/refused-connection.js";

/** The first byte of a HEAD request, whose response has no body. */
const UPPER_H = 0x48;

/** Handler of a socket until its owner takes over in the same turn; never called. */
const UNATTENDED: SocketHandler = { onBytes() {}, onEnd() {}, onDrain() {}, onClose() {} };

export class ProxyPort implements ProxyHeaderOwner, TlsOwner {
  /** Undefined for a plain port. */
  readonly tls: TlsAcceptor | undefined;
  readonly #context: ProxyContext;
  readonly #listener: TcpListener;
  readonly #connections = new Set<ClientConnection>();
  /** Connections whose PROXY protocol header hasn't arrived yet. */
  readonly #headers = new Set<ProxyHeaderConnection>();
  readonly #refused = new Set<RefusedConnection>();
  /** Connections above a client's limit that may still turn out to be a node's. */
  readonly #surplus = new Set<ByteSocket>();
  readonly #clients: ClientCounts;
  readonly #onClientGone: (connection: ClientConnection) => void;
  /** Undefined if HTTP/2 is off. */
  readonly #http2: H2Shared | undefined;
  #onIdle: (() => void) | undefined = undefined;

  /** `certificates`: undefined for a plain port. */
  constructor(context: ProxyContext, certificates?: Certificates) {
    this.#context = context;
    this.#clients = new ClientCounts(context.config.limits.maxConnectionsPerClient);
    this.#onClientGone = (connection) => {
      this.#connections.delete(connection);
      this.#surplus.delete(connection.socket);
      if (connection.client.counted) this.#clients.leave(connection.client.address);
      if (this.#connections.size === 0) this.#onIdle?.();
    };
    const { clock, config, logger, sweep } = context;
    this.#http2 = config.http2.enabled ? createH2Shared(context) : undefined;
    this.tls =
      certificates === undefined
        ? undefined
        : new TlsAcceptor({
            port: "proxy",
            config: config.tls,
            certificates,
            owner: this,
            protocols: config.http2.enabled ? ["h2", "http/1.1"] : ["http/1.1"],
            proxyHeaders: {
              isAllowed: (peer) => this.#allowsHeader(peer),
              isOptional: (peer) => this.isHeaderOptional(peer),
            },
            logger,
            clock,
            sweep,
          });
    this.#listener = new TcpListener("proxy", (socket) => this.#accept(socket));
  }

  /** Replaces the limits, for connections and requests that begin from now on. */
  setLimits(limits: ProxyLimitsConfig): void {
    this.#context.config = { ...this.#context.config, limits };
  }

  /** Replaces the access log, for requests that begin from now on. */
  setAccessLog(accessLog: AccessLog): void {
    this.#context.accessLog = accessLog;
  }

  /** Binds the port; resolves to its address. */
  listen(address: HostPort): Promise<HostPort> {
    return this.#listener.listen(address);
  }

  /** The number of client connections, without refused ones. */
  get connectionCount(): number {
    return this.#connections.size + this.#headers.size + (this.tls?.pendingCount ?? 0);
  }

  /** The highest number of connections of one client; trusted proxies don't count. */
  get highestClientCount(): number {
    return this.#clients.highest;
  }

  /** Asks clients to open new connections elsewhere: from now on, every response has `Connection: close`. */
  closeAfterResponses(): void {
    this.#context.closing = true;
  }

  /** Accepts no more connections, ends idle ones, and resolves when the last request has finished. */
  async drain(): Promise<void> {
    this.closeAfterResponses();
    this.#context.draining = true;
    // If the process was short of CPU, connections and requests may have arrived unnoticed. Without polling first, those
    // connections would be reset, and those requests lost with their idle connections.
    await this.#poll();
    this.#listener.close();
    this.tls?.close();
    await this.#poll();
    for (const connection of [...this.#connections]) connection.stop();
    for (const connection of [...this.#headers, ...this.#refused]) connection.destroy();
    if (this.#connections.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Resolves when all readable sockets have been read: this turn may have polled already, so it waits for the next one. */
  async #poll(): Promise<void> {
    await nextTurn();
    await nextTurn();
  }

  /** Closes the port and cuts all connections. */
  destroy(): void {
    this.closeAfterResponses();
    this.#context.ended = true;
    this.#listener.close();
    // Connections are reset, so that cut responses don't look complete.
    this.tls?.close();
    for (const connection of [...this.#connections]) connection.cut();
    for (const connection of [...this.#headers, ...this.#refused]) connection.destroy();
  }

  /** Called when the address of a connection's client is known. */
  onClient(socket: ByteSocket, address: string, lacksHeader = false): void {
    const context = this.#context;
    const trusted = context.config.trustedProxies.includes(address);
    // Proxies and nodes carry requests of many clients. If nodes have secrets, the first request identifies a node.
    const limited = !trusted && (context.hasHopSecret || !context.isNode(address));
    const counted = limited && this.#clients.enter(address);
    const surplus = limited && !counted;
    const secureSocket = socket.socket instanceof TLSSocket ? socket.socket : undefined;
    const choosesHttp2 = secureSocket?.alpnProtocol === "h2";
    // A surplus connection may be another node's, at the same address as clients that have used up the limit.
    if (surplus && (!context.hasHopSecret || choosesHttp2)) {
      this.#refuse(socket, TOO_MANY_FROM_CLIENT);
      return;
    }
    const headerMissing = lacksHeader && context.config.proxyProtocol === "required" && context.hasHopSecret;
    const unnamed = headerMissing ? PROXY_HEADER_MISSING : undefined;
    const client = {
      address,
      trusted,
      secure: secureSocket !== undefined,
      /** Read only when a token is rejected. */
      get certificate() {
        return certificateSubject(socket.socket);
      },
      counted,
      hopsOnly: surplus ? TOO_MANY_FROM_CLIENT : unnamed,
      onHop: () => {
        if (client.counted) this.#clients.leave(address);
        client.counted = false;
        client.hopsOnly = unnamed;
        this.#surplus.delete(socket);
      },
    };
    if (surplus) {
      this.#addSurplus(socket);
      this.#speakHttp1(socket, client);
      return;
    }
    const http2 = this.#http2;
    if (choosesHttp2 && http2 !== undefined) this.#speakHttp2(socket, client, http2);
    else if (http2 === undefined || secureSocket !== undefined) this.#speakHttp1(socket, client);
    else {
      const { clock, config, sweep } = context;
      const deadlineMs = deadlineAfter(clock.now(), config.http.readHeaderTimeoutMs);
      const onGone = this.#onClientGone;
      const onChosen = (choice: ProtocolChoice, isHttp2: boolean): void => {
        // Adds the new one first, so that the port isn't idle in between.
        if (isHttp2) this.#speakHttp2(socket, client, http2);
        else this.#speakHttp1(socket, client);
        this.#connections.delete(choice);
      };
      this.#connections.add(new ProtocolChoice({ socket, client, sweep, deadlineMs, onChosen, onGone }));
    }
  }

  /** Adds a connection that only another node's request can keep. Nodes send one at once, so the oldest may be evicted. */
  #addSurplus(socket: ByteSocket): void {
    const [oldest] = this.#surplus;
    if (oldest !== undefined && this.#surplus.size >= MAX_REFUSED) {
      this.#surplus.delete(oldest);
      oldest.destroy();
    }
    this.#surplus.add(socket);
  }

  #speakHttp1(socket: ByteSocket, client: Client): void {
    this.#connections.add(new H1Client(this.#context, socket, client, this.#onClientGone));
  }

  #speakHttp2(socket: ByteSocket, client: Client, shared: H2Shared): void {
    this.#connections.add(new H2Client(this.#context, shared, socket, client, this.#onClientGone));
  }

  /** Whether the PROXY protocol header may be missing: nodes of the cluster connect without one. */
  isHeaderOptional(peer: string): boolean {
    return this.#context.config.proxyProtocol === "optional" || this.#context.isNode(peer);
  }

  onHeaderRefused(peer: string, reason: string): void {
    this.#context.limits.hit("proxy_protocol");
    this.#context.logger.debug("proxy protocol header refused", { "client-ip": peer, reason });
  }

  onHeaderTimeout(): void {
    this.#context.limits.hit("read_header_timeout");
  }

  onGone(connection: ProxyHeaderConnection): void {
    this.#headers.delete(connection);
  }

  onSecure(socket: TLSSocket, address: string, lacksHeader: boolean): void {
    this.onPlain(socket, address, lacksHeader);
  }

  onPlain(socket: Socket, address: string, lacksHeader: boolean): void {
    const accepted = ByteSocket.accept(socket, UNATTENDED, "short", this.#context.clock);
    if (this.#hasRoom(accepted, false)) this.onClient(accepted, address, lacksHeader);
  }

  onDistrust(distrusts: Distrusts): void {
    for (const connection of [...this.#connections]) {
      if (distrusts(connection.socket.socket)) connection.retire();
    }
  }

  isTrusted(peer: string): boolean {
    return this.#context.config.trustedProxies.includes(peer) || this.#context.isNode(peer);
  }

  #accept(accepted: Socket): void {
    const context = this.#context;
    const { http, proxyProtocol } = context.config;
    const short = context.files.isShort(accepted);
    // With TLS, no response can be sent without a handshake.
    if (context.files.isExhausted(accepted) || (short && this.tls !== undefined)) {
      context.onRefused(TOO_MANY_FILES);
      accepted.destroy();
      return;
    }
    setKeepAlive(accepted, http.tcpKeepAliveMs);
    const peer = peerAddress(accepted);
    const untrustedPeer = proxyProtocol !== "off" && !this.#allowsHeader(peer);
    if (untrustedPeer && !this.isHeaderOptional(peer)) {
      context.limits.hit("proxy_protocol");
      accepted.destroy();
      return;
    }
    if (this.tls !== undefined) {
      this.tls.accept(accepted, peer);
      return;
    }
    const socket = ByteSocket.accept(accepted, UNATTENDED, "short", context.clock);
    if (!this.#hasRoom(socket, short)) return;
    if (proxyProtocol === "off" || untrustedPeer) {
      this.onClient(socket, peer, untrustedPeer);
    } else {
      const { budget, clock, sweep } = context;
      const deadlineMs = deadlineAfter(clock.now(), http.readHeaderTimeoutMs);
      this.#headers.add(new ProxyHeaderConnection({ socket, peer, owner: this, budget, sweep, deadlineMs }));
    }
  }

  /** Whether a PROXY protocol header from this address is accepted. */
  #allowsHeader(peer: string): boolean {
    const { proxyProtocol, trustedProxies } = this.#context.config;
    return proxyProtocol !== "off" && (trustedProxies.empty || trustedProxies.includes(peer));
  }

  /** Whether the port has room for a connection; if not, refuses it. */
  #hasRoom(socket: ByteSocket, filesAreShort: boolean): boolean {
    const full = this.connectionCount >= this.#context.config.limits.maxConnections;
    if (!filesAreShort && !full) return true;
    this.#refuse(socket, filesAreShort ? TOO_MANY_FILES : TOO_MANY_CONNECTIONS);
    return false;
  }

  #refuse(socket: ByteSocket, error: HttpError): void {
    this.#context.onRefused(error);
    if (this.#refused.size >= MAX_REFUSED) {
      socket.destroy();
      return;
    }
    const onGone = (connection: RefusedConnection): void => void this.#refused.delete(connection);
    const { clock, dateLine, sweep } = this.#context;
    const { message, reason, status } = error;
    const extra = fieldsOf(error);
    const answer = (buffer: Buffer, start: number, end: number): string => {
      if (this.#http2 !== undefined && beginsHttp2(buffer, start, end))
        return refusedConnection(message).toString("latin1");
      const headOnly = buffer[start] === UPPER_H;
      return errorResponse({
        status,
        message,
        reason,
        dateLine: dateLine.get(),
        close: true,
        headOnly,
        extra,
      });
    };
    this.#refused.add(new RefusedConnection({ socket, nowMs: clock.now(), sweep, answer, onGone }));
  }
}
