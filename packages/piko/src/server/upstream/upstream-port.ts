// The upstream port, which agents open their tunnels to.

import type { Clock, TunnelError } from "@piko/tunnel";
import type { Socket } from "node:net";
import type { Authorizer } from "../../auth/authorizer.js";
import type { TLSSocket } from "node:tls";
import { RequestHead } from "../../http/head.js";
import type { DateLine } from "../../http/date-line.js";
import type { DeadlineSweep } from "../../net/deadline-sweep.js";
import type { Distrusts } from "../../net/accept/authorities.js";
import type { Certificates } from "../../net/accept/certificates.js";
import { TlsAcceptor, type TlsOwner } from "../../net/accept/tls-acceptor.js";
import { ClientCounts } from "../../net/accept/client-counts.js";
import type { OpenFiles } from "../../net/accept/open-files.js";
import { TcpListener } from "../../net/accept/tcp-listener.js";
import { MAX_REFUSED } from "../../net/accept/refused-connection.js";
import { setKeepAlive } from "../../net/keep-alive.js";
import { peerAddress } from "../../net/peer-address.js";
import type { ByteBudget } from "../../net/byte-budget.js";
import type { LimitCounters } from "../../net/limit-counters.js";
import type { AddressRanges } from "../../base/address-ranges.js";
import type { Asked } from "../../auth/audit-log.js";
import type { HostPort } from "../../base/address.js";
import type { UpstreamLimitsConfig } from "../../config/server.js";
import type { ServerTlsConfig } from "../../config/server-tls.js";
import type { Logger } from "../../observability/logger.js";
import { hashInstance } from "./hash-instance.js";
import type { PublicAddress } from "./public-address.js";
import type { TenantUse, TenantUses } from "./tenant-use.js";
import { describeDoubt, type Tunnel } from "./tunnel.js";
import type { TunnelDrains } from "./tunnel-drains.js";
import type { TunnelExpiries } from "./tunnel-expiries.js";
import { type Refusal, UpstreamConnection, type UpstreamConnectionOwner } from "./upstream-connection.js";
import { tunnelEnd, type UpstreamLimit, type UpstreamMetrics } from "./upstream-metrics.js";
import type { Upstreams } from "./upstreams.js";

/** Maximum fields of an upgrade request: agents send a dozen at most, and proxies in front add some. */
const MAX_FIELDS = 100;
/** Delay of TCP keep-alive probes to a silent agent (the tunnel's own pings are sooner). */
const KEEP_ALIVE_MS = 60_000;

/** Why a tunnel ends if its agent's certificate is no longer trusted. */
const AUTHORITY_GONE = "certificate no longer trusted";

const TOO_MANY_FILES: Refusal = { status: 503, message: "too many connections (open_files)" };
const TOO_MANY_FROM_CLIENT: Refusal = {
  status: 429,
  message: "too many tunnels from this address (max_tunnels_per_client)",
};

export interface UpstreamPortOptions {
  nodeId: string;
  /** The address at which clients reach endpoints. */
  publicAddress: PublicAddress;
  /** The authorizer of listeners. */
  auth: Authorizer;
  upstreams: Upstreams;
  config: UpstreamLimitsConfig;
  /** Addresses that carry many agents, and to which limits per address don't apply. */
  trustedProxies: AddressRanges;
  limits: LimitCounters<UpstreamLimit>;
  /** Counts of tunnels that were opened and that have ended. */
  counts: Pick<UpstreamMetrics, "opened" | "closed">;
  /** Moves tunnels to other nodes. */
  drains: TunnelDrains;
  /** Ends tunnels whose token or certificate is no longer valid. */
  expiries: TunnelExpiries;
  /** The uses and limits of tenants. */
  tenants: TenantUses;
  /** Memory for buffered bytes, shared by this port and the proxy port. */
  budget: ByteBudget;
  files: OpenFiles;
  logger: Logger;
  clock: Clock;
  sweep: DeadlineSweep;
  dateLine: DateLine;
  /** Undefined for a plain port. */
  certificates: Certificates | undefined;
  tls: ServerTlsConfig;
}

export class UpstreamPort implements UpstreamConnectionOwner, TlsOwner {
  /** Undefined for a plain port. */
  readonly tls: TlsAcceptor | undefined;
  readonly nodeId: string;
  readonly publicAddress: PublicAddress;
  readonly auth: Authorizer;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly sweep: DeadlineSweep;
  readonly dateLine: DateLine;
  /** May be replaced between two connections. */
  config: UpstreamLimitsConfig;
  readonly budget: ByteBudget;
  readonly requestHead: RequestHead = new RequestHead(MAX_FIELDS);
  /** Whether new tunnels are refused. */
  stopping = false;
  readonly #counts: Pick<UpstreamMetrics, "opened" | "closed">;
  readonly #limits: LimitCounters<UpstreamLimit>;
  readonly #upstreams: Upstreams;
  readonly #listener: TcpListener;
  readonly #connections = new Set<UpstreamConnection>();
  readonly #drains: TunnelDrains;
  readonly #expiries: TunnelExpiries;
  readonly #tenants: TenantUses;
  readonly #clients: ClientCounts;
  readonly #trustedProxies: AddressRanges;
  readonly #files: OpenFiles;
  /** The number of connections that the port has no room for and that wait for their refusal. */
  #refusedCount = 0;

  constructor(options: UpstreamPortOptions) {
    this.nodeId = options.nodeId;
    this.publicAddress = options.publicAddress;
    this.auth = options.auth;
    this.#upstreams = options.upstreams;
    this.logger = options.logger;
    this.clock = options.clock;
    this.sweep = options.sweep;
    this.dateLine = options.dateLine;
    this.config = options.config;
    this.budget = options.budget;
    this.#limits = options.limits;
    this.#counts = options.counts;
    this.#drains = options.drains;
    this.#expiries = options.expiries;
    this.#tenants = options.tenants;
    this.#files = options.files;
    this.#clients = new ClientCounts(options.config.maxTunnelsPerClient);
    this.#trustedProxies = options.trustedProxies;
    this.auth.onChange = () => this.#expireUntrusted();
    const { certificates, clock, logger, sweep, tls } = options;
    this.tls =
      certificates === undefined
        ? undefined
        : new TlsAcceptor({ port: "upstream", config: tls, certificates, owner: this, logger, clock, sweep });
    this.#listener = new TcpListener("upstream", (socket) => this.#accept(socket));
  }

  /** Binds the port; resolves to its address. */
  listen(address: HostPort): Promise<HostPort> {
    return this.#listener.listen(address);
  }

  /** Accepts no more tunnels. */
  stopAccepting(): void {
    this.stopping = true;
    this.#listener.close();
    this.tls?.close();
    for (const connection of this.#connections) connection.stop();
  }

  /** Moves all tunnels to other nodes (see {@link TunnelDrains.begin}). Resolves when none accepts requests any more. */
  drain(windowMs: number, deadlineMs: number): Promise<void> {
    this.#drains.begin(this.#upstreams.tunnels(), windowMs, deadlineMs);
    return this.#drains.moved();
  }

  /** Ends the remaining tunnels, in such a way that every agent reconnects elsewhere. */
  close(): void {
    this.stopAccepting();
    this.#drains.close();
    this.#expiries.close();
    for (const tunnel of [...this.#upstreams.tunnels()]) tunnel.evict();
  }

  /** Keys, tenants or revoked tokens have changed: ends tunnels that would be rejected now. */
  #expireUntrusted(): void {
    if (!this.auth.enabled) return;
    for (const tunnel of [...this.#upstreams.tunnels()]) {
      const { endpointId, identity } = tunnel;
      const trusted = identity !== undefined && this.auth.stillTrusts(identity, endpointId);
      if (!trusted) this.#expiries.expire(tunnel, "no longer trusted");
    }
  }

  /** Drops all remaining connections. */
  destroy(): void {
    this.close();
    this.#expiries.destroy();
    for (const tunnel of [...this.#upstreams.tunnels()]) tunnel.destroy();
  }

  /** The number of connections without a complete upgrade request. */
  get pendingCount(): number {
    return this.#connections.size + (this.tls?.pendingCount ?? 0);
  }

  /** The highest number of connections, including tunnels, of one address; trusted proxies don't count. */
  get highestClientCount(): number {
    return this.#clients.highest;
  }

  useOf(tenantId: string): TenantUse | undefined {
    return this.#tenants.find(tenantId);
  }

  fullFor(endpointId: string, tenantId: string): UpstreamLimit | undefined {
    const { maxTunnels, maxTunnelsPerEndpoint } = this.config;
    const listeners = this.#upstreams.find(endpointId)?.tunnelCount ?? 0;
    const full =
      this.#upstreams.tunnelCount >= maxTunnels
        ? "max_tunnels"
        : listeners >= maxTunnelsPerEndpoint
          ? "max_tunnels_per_endpoint"
          : this.#tenants.find(tenantId)?.fullFor(endpointId);
    if (full !== undefined) this.#limits.hit(full);
    return full;
  }

  tunnelOf(listener: { endpointId: string; tenantId: string; instance: string }): Tunnel | undefined {
    return this.#upstreams.tunnelOf(listener);
  }

  otherAgents(listener: { endpointId: string; tenantId: string; instance: string }): number {
    const endpoint = this.#upstreams.find(listener.endpointId);
    const count = endpoint?.otherAgents(listener) ?? 0;
    if (endpoint !== undefined && count > 0 && !endpoint.sharingReported) {
      endpoint.sharingReported = true;
      this.logger.info("endpoint has several agents", {
        "endpoint-id": listener.endpointId,
        "tenant-id": listener.tenantId,
        agents: count + 1,
      });
    }
    return count;
  }

  onReplaced(tunnel: Tunnel): void {
    if (tunnel.state === "active") this.#drains.begin([tunnel], 0, Number.POSITIVE_INFINITY);
  }

  /** Another node has joined: notifies agents that may look for one. */
  onNodeJoined(): void {
    for (const tunnel of this.#upstreams.tunnels()) tunnel.notifyOfNode();
  }

  onTunnel(tunnel: Tunnel): void {
    this.#upstreams.add(tunnel);
    this.#counts.opened++;
    tunnel.tenant?.add(tunnel);
    this.#expiries.watch(tunnel, tunnel.untilMs);
    if (isAudited(tunnel)) this.auth.audit?.opened(requesterOf(tunnel));
    this.logger.info("upstream connected", describe(tunnel));
  }

  forget(connection: UpstreamConnection): void {
    this.#connections.delete(connection);
  }

  onPendingGone(connection: UpstreamConnection): void {
    this.#connections.delete(connection);
    if (connection.refusal !== undefined) this.#refusedCount--;
    else this.#leave(connection.clientIp);
  }

  onHeadTimeout(): void {
    this.#limits.hit("read_header_timeout");
  }

  onDraining(tunnel: Tunnel, byAgent: boolean): void {
    this.#upstreams.drain(tunnel);
    this.logger.info(byAgent ? "upstream draining" : "upstream asked to move", describe(tunnel));
  }

  onUsable(tunnel: Tunnel): void {
    this.#upstreams.drain(tunnel);
  }

  onExpired(tunnel: Tunnel, reason: string): void {
    this.#upstreams.remove(tunnel);
    tunnel.tenant?.remove(tunnel);
    const what = reason === AUTHORITY_GONE ? "certificate" : "token";
    this.logger.info(`upstream ${what} is no longer valid`, { ...describe(tunnel), reason });
    if (isAudited(tunnel)) this.auth.audit?.lost(requesterOf(tunnel), reason);
  }

  onDoubt(tunnel: Tunnel): void {
    this.#upstreams.onDoubt(tunnel);
    if (tunnel.doubtful) {
      this.logger.warn("upstream in doubt", { ...describe(tunnel), reason: describeDoubt(tunnel) });
    } else this.logger.info("upstream no longer in doubt", describe(tunnel));
  }

  onGone(tunnel: Tunnel, error: TunnelError | undefined): void {
    this.#upstreams.remove(tunnel);
    tunnel.tenant?.remove(tunnel);
    if (isAudited(tunnel) && !this.#expiries.knows(tunnel)) {
      this.auth.audit?.lost(requesterOf(tunnel), error === undefined ? "closed" : error.message);
    }
    this.#expiries.forget(tunnel);
    this.#leave(tunnel.clientIp);
    const reason = tunnelEnd(error);
    this.#counts.closed[reason]++;
    if (reason === "ping_timeout" || reason === "open_timeout") this.#limits.hit(reason);
    if (error === undefined || reason === "eof") {
      this.logger.info("upstream disconnected", { ...describe(tunnel), reason });
    } else {
      this.logger.warn("upstream disconnected", { ...describe(tunnel), reason, error: error.message });
    }
  }

  onSecure(socket: TLSSocket, address: string): void {
    this.#admit(socket, address);
  }

  onPlain(socket: Socket, address: string): void {
    this.#admit(socket, address);
  }

  onDistrust(distrusts: Distrusts): void {
    for (const connection of this.#connections) if (distrusts(connection.socket.socket)) connection.stop();
    for (const tunnel of [...this.#upstreams.tunnels()]) {
      if (distrusts(tunnel.socket.socket)) this.#expiries.expire(tunnel, AUTHORITY_GONE);
    }
  }

  isTrusted(peer: string): boolean {
    return this.#trustedProxies.includes(peer);
  }

  #accept(socket: Socket): void {
    if (this.pendingCount >= this.config.maxPendingConnections) {
      this.#limits.hit("max_pending_connections");
      socket.destroy();
    } else if (this.tls === undefined) this.#admit(socket, peerAddress(socket));
    else if (this.#files.isShort(socket)) {
      // No response can be sent without a handshake.
      this.#limits.hit("open_files");
      socket.destroy();
    } else this.tls.accept(socket, peerAddress(socket));
  }

  #admit(socket: Socket, clientIp: string): void {
    const refusal = this.#findRefusal(socket, clientIp);
    if (refusal !== undefined) {
      if (this.#refusedCount >= MAX_REFUSED || this.#files.isExhausted(socket)) {
        socket.destroy();
        return;
      }
      this.#refusedCount++;
    }
    setKeepAlive(socket, KEEP_ALIVE_MS);
    this.#connections.add(new UpstreamConnection(this, socket, clientIp, refusal));
  }

  /** Why the port has no room for a connection; if undefined, the connection now counts toward its address's limit. */
  #findRefusal(socket: Socket, clientIp: string): Refusal | undefined {
    if (this.#files.isShort(socket)) {
      this.#limits.hit("open_files");
      return TOO_MANY_FILES;
    }
    if (this.#enter(clientIp)) return undefined;
    this.#limits.hit("max_tunnels_per_client");
    return TOO_MANY_FROM_CLIENT;
  }

  /** Whether an address may have another connection, which then counts toward its limit. */
  #enter(address: string): boolean {
    return this.#trustedProxies.includes(address) || this.#clients.enter(address);
  }

  #leave(address: string): void {
    if (!this.#trustedProxies.includes(address)) this.#clients.leave(address);
  }
}

/** The sender of a tunnel's upgrade request, for the audit log. */
function requesterOf({ certificate, clientIp, endpointId, identity, tenantId }: Tunnel): Asked {
  return { address: clientIp, tenantId, endpointId, identity, credential: undefined, certificate };
}

/** Whether the tunnel's agent was authenticated, by a token or a certificate. */
function isAudited({ certificate, identity }: Tunnel): boolean {
  return identity !== undefined || certificate !== "";
}

function describe(tunnel: Tunnel): Record<string, string> {
  const { clientIp, endpointId, instance, tenantId } = tunnel;
  return {
    "endpoint-id": endpointId,
    "client-ip": clientIp,
    "tenant-id": tenantId,
    ...(instance === "" ? {} : { instance: hashInstance(instance) }),
  };
}
