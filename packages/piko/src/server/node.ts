// One node: starts its ports, and shuts them down in an order that loses no requests.

import { randomBytes } from "node:crypto";
import { type Clock, type Timer, systemClock } from "@piko/tunnel";
import type { HostPort } from "../base/address.js";
import type { TenantConfig } from "../config/auth.js";
import type { ProxyConfig, ServerConfig } from "../config/server.js";
import { ByteBudget } from "../net/byte-budget.js";
import { DateLine } from "../http/date-line.js";
import { DeadlineSweep } from "../net/deadline-sweep.js";
import { createTracing, type Tracing } from "../net/tracing/create-tracing.js";
import { OpenFiles } from "../net/accept/open-files.js";
import { AccessLog } from "../observability/access-log.js";
import type { Logger } from "../observability/logger.js";
import { EndpointMetrics } from "../observability/endpoint-metrics.js";
import { addBuildInfo } from "../observability/build-info.js";
import { Metrics } from "../observability/metrics.js";
import { addProcessMetrics } from "../observability/process-metrics.js";
import { RequestMetricsFamily } from "../observability/request-metrics.js";
import { Authorizers } from "./authorizers.js";
import { AdminPort } from "./admin/admin-port.js";
import { Cluster, type ClusterOptions } from "./cluster/cluster.js";
import { addClusterMetrics } from "./cluster/cluster-metrics.js";
import { ClusterTable } from "./cluster/cluster-table.js";
import { addUseMetrics, createProxyLimits, createUpstreamLimits } from "./limit-metrics.js";
import { generateNodeId } from "./node-id.js";
import { ProxyContext } from "./exchange/proxy-context.js";
import { NodeTls, portsWithTls } from "./node-tls.js";
import { ProxyPort } from "./clients/proxy-port.js";
import { UpstreamMetrics } from "./upstream/upstream-metrics.js";
import { UpstreamPort } from "./upstream/upstream-port.js";
import { Rebalancer } from "./upstream/rebalancer.js";
import { TunnelDrains } from "./upstream/tunnel-drains.js";
import { TenantUses } from "./upstream/tenant-use.js";
import { TunnelExpiries } from "./upstream/tunnel-expiries.js";
import { PublicAddress } from "./upstream/public-address.js";
import { Hops } from "./upstream/hop/hops.js";
import { ReconnectWaits } from "./upstream/reconnect-waits.js";
import { Upstreams } from "./upstream/upstreams.js";

/** The parts of a node. */
interface NodeParts {
  readonly auth: Authorizers;
  readonly tenants: TenantUses;
  readonly cluster: Cluster;
  readonly hops: Hops;
  readonly upstreams: Upstreams;
  readonly rebalancer: Rebalancer;
  readonly proxy: ProxyPort;
  readonly upstream: UpstreamPort;
  readonly admin: AdminPort;
  readonly metrics: Metrics;
  readonly tracing: Tracing | undefined;
}

/** The part of the grace period that is reserved for announcing to the other nodes that this one is leaving. */
const LEAVE_MS = 2_500;
/** Gossip rounds after which the other nodes know where the tunnels have moved. */
const SETTLE_ROUNDS = 3;

/** Where a node's ports are bound. */
export interface NodeAddresses {
  gossip: HostPort;
  proxy: HostPort;
  upstream: HostPort;
  admin: HostPort;
}

/** Numbers in [0, 1). Randomness and the time of day are taken from the process only here, and passed to all parts. */
// oxlint-disable-next-line no-restricted-properties -- the top of a node
const random = Math.random;
/** Milliseconds since 1970. */
// oxlint-disable-next-line no-restricted-properties -- the top of a node
const wallNow = Date.now;

export interface NodeOptions {
  config: ServerConfig;
  logger: Logger;
  clock?: Clock;
  /** The program's version, as announced to other nodes. */
  version?: string;
  /** Whether the process runs this node alone, so that its metrics are the node's; true by default. */
  ownProcess?: boolean;
}

export class Node {
  readonly id: string;
  /** Where its ports are bound, once `start` has resolved. */
  readonly addresses: NodeAddresses;
  readonly #config: ServerConfig;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #parts: NodeParts;
  /** Aborted when the node stops; ends `join`. */
  readonly #stopping = new AbortController();
  /** Whether the node should get requests; read by the admin port. */
  readonly #readiness: { ready: boolean };

  private constructor(
    { config, logger, clock = systemClock }: NodeOptions,
    parts: NodeParts,
    addresses: NodeAddresses,
    readiness: { ready: boolean },
  ) {
    this.id = parts.cluster.nodeId;
    this.addresses = addresses;
    this.#config = config;
    this.#logger = logger;
    this.#clock = clock;
    this.#parts = parts;
    this.#readiness = readiness;
  }

  /**
   * Binds all ports, or none: the error names the port and the address. From then on, requests are served. The node becomes
   * ready when `join` has finished.
   */
  static async start(options: NodeOptions): Promise<Node> {
    const readiness = { ready: false };
    const parts = await build(options, () => readiness.ready);
    try {
      return new Node(options, parts, await bind(options.config, parts), readiness);
    } catch (error) {
      destroy(parts);
      throw error;
    }
  }

  /** The metrics that `/metrics` shows. */
  get metrics(): Metrics {
    return this.#parts.metrics;
  }

  /** Joins the cluster and becomes ready; rejects if that fails and the node must not continue. `stop` ends it early. */
  async join(): Promise<void> {
    try {
      await this.#parts.cluster.join(this.#stopping.signal);
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      destroy(this.#parts);
      throw error;
    }
    this.#readiness.ready = !this.#stopping.signal.aborted;
    if (this.#readiness.ready) this.#parts.rebalancer.start();
  }

  /** Sets the tenants whose agents may connect, and their limits; rejects and changes nothing if they are invalid. */
  async setTenants(configs: readonly TenantConfig[]): Promise<void> {
    const { auth, tenants } = this.#parts;
    await auth.setTenants(configs);
    tenants.set(configs);
  }

  /** Replaces the limits that are looked up for each connection or request. */
  setLimits({ proxy, upstream }: ServerConfig): void {
    this.#parts.proxy.setLimits(proxy.limits);
    this.#parts.upstream.config = upstream.limits;
  }

  /** Replaces the access log, for requests that begin from now on. */
  setAccessLog({ proxy }: ServerConfig): void {
    this.#parts.proxy.setAccessLog(createAccessLog(proxy, this.#logger, this.id));
  }

  /**
   * Stops gracefully. The node isn't ready from now on, but stays open for `delayMs`; other nodes choose it last. Then its
   * tunnels move to other nodes, spread over `windowMs`, requests in progress finish, and it leaves the cluster. Connections
   * that are left near the end of the grace period are cut.
   */
  async stop({ delayMs, windowMs }: { delayMs: number; windowMs: number }): Promise<void> {
    const parts = this.#parts;
    const graceMs = this.#config.gracePeriodMs;
    const endMs = this.#clock.now() + graceMs;
    const cutMs = endMs - Math.min(LEAVE_MS, graceMs / 4);
    const wasReady = this.#readiness.ready;
    this.#readiness.ready = false;
    this.#stopping.abort();
    parts.rebalancer.stop();
    parts.proxy.closeAfterResponses();
    parts.cluster.drain();
    // No load balancer knows a node that was never ready.
    const finished = this.#finish(wasReady ? delayMs : 0, windowMs, cutMs);
    if (!(await this.#finishesBefore(cutMs, finished))) {
      this.#logger.warn("grace period is over, cutting what is left", {
        connections: parts.proxy.connectionCount,
        tunnels: parts.upstreams.tunnelCount,
      });
    }
    parts.upstream.close();
    parts.proxy.destroy();
    await this.#finishesBefore(endMs, parts.cluster.leave());
    await parts.tracing?.close();
    destroy(parts);
  }

  /** Ends at once, without notifying other nodes, as if the process were killed. */
  kill(): void {
    this.#readiness.ready = false;
    this.#stopping.abort();
    this.#parts.rebalancer.stop();
    destroy(this.#parts);
  }

  /** The graceful part of `stop`: resolves when tunnels have moved and requests have finished. */
  async #finish(delayMs: number, windowMs: number, cutMs: number): Promise<void> {
    if (delayMs > 0) {
      this.#logger.info("waiting for load balancers to notice", { "drain-delay-ms": delayMs });
      await this.#pause(delayMs);
    }
    const { cluster, proxy, upstream } = this.#parts;
    upstream.stopAccepting();
    // Without other nodes, agents have nowhere to go, and are needed for the requests in progress. Otherwise, the proxy port
    // stays open for hops until the other nodes know where the tunnels have moved.
    if (cluster.hasOthers) {
      await upstream.drain(windowMs, cutMs);
      await this.#pause(SETTLE_ROUNDS * this.#config.cluster.gossip.intervalMs);
    }
    await proxy.drain();
  }

  /** Waits for `work`, until `endMs` at the latest; false if it didn't finish in time. */
  async #finishesBefore(endMs: number, work: Promise<unknown>): Promise<boolean> {
    let timer: Timer | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = this.#clock.setTimeout(() => resolve(false), Math.max(0, endMs - this.#clock.now()));
    });
    const inTime = await Promise.race([work.then(() => true), late]);
    if (timer !== undefined) this.#clock.clearTimeout(timer);
    return inTime;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.setTimeout(resolve, ms));
  }
}

/** Binds the gossip port and creates the other parts; their ports aren't bound yet. */
async function build(options: NodeOptions, isReady: () => boolean): Promise<NodeParts> {
  const { config, logger, clock = systemClock, ownProcess = true, version = "unknown" } = options;
  const { nodeId: givenId, nodeIdPrefix } = config.cluster;
  const nodeId = givenId === "" ? generateNodeId(nodeIdPrefix) : givenId;
  const accessLog = createAccessLog(config.proxy, logger, nodeId);
  const { maxBufferedBytes, maxWaitingRequests } = config.proxy.limits;
  const waits = new ReconnectWaits(clock, config.proxy.reconnectWaitMs, maxWaitingRequests);
  const table = new ClusterTable(random);
  const tls = new NodeTls({ config, logger, clock, wallNow });
  const hops = new Hops(table, clock, tls.dialProxy);
  const auth = await Authorizers.load({ config, clock, wallNow, logger });
  const cluster = await listenOrClose(auth, {
    table,
    onNodeUnreachable: (gone) => hops.onUnreachable(gone),
    onNodeGone: (gone) => hops.forget(gone),
    nodeId,
    about: { version, startedMs: wallNow() },
    config: config.cluster,
    logger: logger.subsystem("cluster"),
    clock,
    wallNow,
    random,
    randomBytes,
    onEndpoint: (endpointId) => waits.onFound(endpointId),
    onEndpointLost: (endpointId) => waits.onLost(endpointId),
    // Isn't called before the cluster is started; `upstream` exists by then.
    onNode: () => upstream.onNodeJoined(),
  });
  const metrics = new Metrics();
  addBuildInfo(metrics, { version, node_id: nodeId });
  auth.addMetrics(metrics);
  const own = { version, metrics, logger, clock, wallNow, random };
  const tracing = createTracing({ config: config.tracing, service: "piko-server", instance: nodeId, ...own });
  if (ownProcess) addProcessMetrics(metrics);
  const upstreams = new Upstreams(
    waits,
    (endpointId, count, doubtful) => cluster.setListeners(endpointId, count, doubtful),
    random,
  );
  const upstreamLimits = createUpstreamLimits(metrics, logger, clock);
  const upstreamMetrics = new UpstreamMetrics(metrics, upstreams, upstreamLimits);
  const { endpointMetrics: maxEndpoints } = config.proxy;
  const budget = new ByteBudget(maxBufferedBytes);
  const files = new OpenFiles();
  const sweep = new DeadlineSweep(clock);
  const dateLine = new DateLine(clock);
  const drains = new TunnelDrains(clock, random);
  const proxy = new ProxyPort(
    new ProxyContext({
      config: config.proxy,
      auth: auth.proxy,
      cluster,
      hops,
      upstreams,
      upstreamMetrics,
      accessLog,
      metrics: new RequestMetricsFamily(metrics, "piko_proxy").child(),
      endpointMetrics: maxEndpoints === 0 ? undefined : new EndpointMetrics(metrics, maxEndpoints),
      tracer: tracing?.tracer(config.tracing.trustClients),
      limits: createProxyLimits(metrics, logger, clock),
      budget,
      files,
      logger: logger.subsystem("proxy"),
      clock,
      sweep,
      dateLine,
    }),
    tls.proxy,
  );
  const rebalancer = new Rebalancer({
    config: config.upstream.rebalance,
    upstreams,
    drains,
    random,
    others: () => cluster.listenersOfOthers(),
    logger: logger.subsystem("upstream"),
    clock,
  });
  const tenants = new TenantUses(config.upstream.tenants, clock);
  const upstream = new UpstreamPort({
    nodeId,
    publicAddress: new PublicAddress(config.proxy.publicUrl),
    auth: auth.upstream,
    upstreams,
    config: config.upstream.limits,
    trustedProxies: config.proxy.trustedProxies,
    limits: upstreamLimits,
    counts: upstreamMetrics,
    drains,
    tenants,
    expiries: new TunnelExpiries({ clock, wallNow, graceMs: config.upstream.auth.expiryGraceMs }),
    budget,
    files,
    logger: logger.subsystem("upstream"),
    clock,
    sweep,
    dateLine,
    certificates: tls.upstream,
    tls: config.upstream.tls,
  });
  addUseMetrics(metrics, { proxy, upstream, budget, rebalancer });
  addClusterMetrics(metrics, cluster, hops.requests);
  const admin = new AdminPort({
    auth: auth.admin,
    exemptProbes: config.admin.auth.exemptProbes,
    metrics,
    cluster,
    upstreams,
    logger: logger.subsystem("admin"),
    clock,
    wallNow,
    isReady: () => auth.ready && isReady(),
    tls:
      tls.admin === undefined
        ? undefined
        : { config: config.admin.tls, certificates: tls.admin, clock, sweep },
    dialTls: tls.dialAdmin,
  });
  tls.addMetrics(metrics, { proxy: proxy.tls, upstream: upstream.tls, admin: admin.tls });
  return { auth, tenants, cluster, hops, upstreams, rebalancer, proxy, upstream, admin, metrics, tracing };
}

function createAccessLog({ accessLog: config }: ProxyConfig, logger: Logger, nodeId: string): AccessLog {
  return new AccessLog({ config, logger, subsystem: "proxy.access", nodeId });
}

/** Binds the other ports, and starts gossip with other nodes. */
async function bind({ admin, proxy, upstream }: ServerConfig, parts: NodeParts): Promise<NodeAddresses> {
  const { cluster } = parts;
  const addresses = {
    gossip: cluster.gossipAddr,
    admin: await parts.admin.listen(admin.bindAddr),
    upstream: await parts.upstream.listen(upstream.bindAddr),
    proxy: await parts.proxy.listen(proxy.bindAddr),
  };
  parts.upstream.publicAddress.setProxyPort(addresses.proxy.port, proxy.tls.cert !== "");
  cluster.start(
    cluster.advertise(proxy.advertiseAddr, addresses.proxy, "--proxy.advertise-addr"),
    cluster.advertise(admin.advertiseAddr, addresses.admin, "--admin.advertise-addr"),
    portsWithTls({ proxy: proxy.tls, admin: admin.tls }),
  );
  return addresses;
}

/** Binds the gossip port; closes `auth` if that fails. */
async function listenOrClose(auth: Authorizers, options: ClusterOptions): Promise<Cluster> {
  try {
    return await Cluster.listen(options);
  } catch (error) {
    auth.close();
    throw error;
  }
}

function destroy({ admin, auth, cluster, hops, proxy, tracing, upstream }: NodeParts): void {
  proxy.destroy();
  upstream.destroy();
  admin.close();
  hops.close();
  auth.close();
  void tracing?.close(0);
  void cluster.close();
}
