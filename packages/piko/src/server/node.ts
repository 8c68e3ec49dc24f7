// One node: wires its ports together, and takes them down in the order that loses nothing.

import { type Clock, type Timer, systemClock } from "@piko/tunnel";
import type { HostPort } from "../base/address.js";
import type { ServerConfig } from "../config/server.js";
import { ByteBudget } from "../net/byte-budget.js";
import { DateLine } from "../http/date-line.js";
import { DeadlineSweep } from "../net/deadline-sweep.js";
import { AccessLog } from "../observability/access-log.js";
import type { Logger } from "../observability/logger.js";
import { Metrics } from "../observability/metrics.js";
import { RequestMetricsFamily } from "../observability/request-metrics.js";
import { AdminPort } from "./admin/admin-port.js";
import { Cluster } from "./cluster/cluster.js";
import { addClusterMetrics } from "./cluster/cluster-metrics.js";
import { ClusterTable } from "./cluster/cluster-table.js";
import { addUseMetrics, createProxyLimits, createUpstreamLimits } from "./limit-metrics.js";
import { generateNodeId } from "./node-id.js";
import { ProxyContext } from "./exchange/proxy-context.js";
import { ProxyPort } from "./clients/proxy-port.js";
import { UpstreamMetrics } from "./upstream/upstream-metrics.js";
import { UpstreamPort } from "./upstream/upstream-port.js";
import { Rebalancer } from "./upstream/rebalancer.js";
import { TunnelDrains } from "./upstream/tunnel-drains.js";
import { Hops } from "./upstream/hop/hops.js";
import { ReconnectWaits } from "./upstream/reconnect-waits.js";
import { Upstreams } from "./upstream/upstreams.js";

/** Kept of the grace period to say to the other nodes that this one leaves. */
const LEAVE_MS = 2_500;
/** Rounds of gossip in which other nodes learn where a tunnel has gone. */
const SETTLE_ROUNDS = 3;

/** Where a node's ports are bound. */
export interface NodeAddresses {
  gossip: HostPort;
  proxy: HostPort;
  upstream: HostPort;
  admin: HostPort;
}

/** Numbers in [0, 1). A node asks the process for chance and the time of day here, and passes them on. */
// oxlint-disable-next-line no-restricted-properties -- the top of a node
const random = Math.random;
/** Milliseconds since 1970. */
// oxlint-disable-next-line no-restricted-properties -- the top of a node
const wallNow = Date.now;

export interface NodeOptions {
  config: ServerConfig;
  logger: Logger;
  clock?: Clock;
  /** Whether the process runs this node alone, so that its metrics are the node's; true by default. */
  ownProcess?: boolean;
}

export class Node {
  readonly id: string;
  readonly #config: ServerConfig;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #proxy: ProxyPort;
  readonly #upstream: UpstreamPort;
  readonly #admin: AdminPort;
  readonly #upstreams: Upstreams;
  readonly #context: ProxyContext;
  readonly #metrics: Metrics;
  readonly #rebalancer: Rebalancer;
  /** Aborts what the boot waits for. */
  readonly #stopping = new AbortController();
  #cluster: Cluster | undefined = undefined;
  #ready = false;

  constructor({ config, logger, clock = systemClock, ownProcess = true }: NodeOptions) {
    this.id =
      config.cluster.nodeId === "" ? generateNodeId(config.cluster.nodeIdPrefix) : config.cluster.nodeId;
    this.#config = config;
    this.#logger = logger;
    this.#clock = clock;
    const metrics = new Metrics();
    this.#metrics = metrics;
    if (ownProcess) metrics.addProcessMetrics();
    const { maxBufferedBytes, maxWaitingRequests } = config.proxy.limits;
    const upstreams = new Upstreams(
      new ReconnectWaits(clock, config.proxy.reconnectWaitMs, maxWaitingRequests),
    );
    const budget = new ByteBudget(maxBufferedBytes);
    const upstreamLimits = createUpstreamLimits(metrics, logger, clock);
    this.#upstreams = upstreams;
    const sweep = new DeadlineSweep(clock);
    const dateLine = new DateLine(clock);
    const context = new ProxyContext({
      config: config.proxy,
      upstreams,
      upstreamMetrics: new UpstreamMetrics(metrics, upstreams, upstreamLimits),
      accessLog: new AccessLog({ config: config.proxy.accessLog, logger, subsystem: "proxy.access" }),
      metrics: new RequestMetricsFamily(metrics, "piko_proxy").child(),
      limits: createProxyLimits(metrics, logger, clock),
      budget,
      logger: logger.subsystem("proxy"),
      clock,
      sweep,
      dateLine,
    });
    this.#context = context;
    this.#proxy = new ProxyPort(context);
    const drains = new TunnelDrains(clock, random);
    this.#rebalancer = new Rebalancer({
      config: config.upstream.rebalance,
      upstreams,
      drains,
      random,
      others: () => this.#cluster?.listenersOfOthers() ?? [],
      logger: logger.subsystem("upstream"),
      clock,
    });
    metrics.counter(
      "piko_upstreams_shed_total",
      "Number of upstreams that were asked to move because this node had more than the others",
      () => this.#rebalancer.shed,
    );
    this.#upstream = new UpstreamPort({
      nodeId: this.id,
      upstreams,
      config: config.upstream.limits,
      trustedProxies: config.proxy.trustedProxies,
      limits: upstreamLimits,
      drains,
      budget,
      logger: logger.subsystem("upstream"),
      clock,
      sweep,
      dateLine,
    });
    addUseMetrics(metrics, { proxy: this.#proxy, upstream: this.#upstream, budget });
    this.#admin = new AdminPort({
      metrics,
      upstreams,
      logger: logger.subsystem("admin"),
      clock,
      wallNow,
      isReady: () => this.#ready,
    });
  }

  /**
   * Binds all ports, or none: the error names the port and the address. Requests are served from then on; the node is
   * ready when it has found its place in the cluster.
   */
  async start(): Promise<NodeAddresses> {
    const { admin, cluster, proxy, upstream } = this.#config;
    try {
      const table = new ClusterTable(random);
      const hops = new Hops(table, this.#clock);
      const node = await Cluster.listen({
        table,
        onNodeUnreachable: (gone) => hops.onUnreachable(gone),
        onNodeGone: (gone) => hops.forget(gone),
        nodeId: this.id,
        config: cluster,
        logger: this.#logger.subsystem("cluster"),
        clock: this.#clock,
        wallNow,
        random,
        onEndpoint: (endpointId) => this.#upstreams.waits.onFound(endpointId),
        onEndpointLost: (endpointId) => {
          if (this.#upstreams.listenerCount(endpointId) === 0) this.#upstreams.waits.onLost(endpointId);
        },
      });
      this.#cluster = node;
      const addresses = {
        gossip: node.gossipAddr,
        admin: await this.#admin.listen(admin.bindAddr, node),
        upstream: await this.#upstream.listen(upstream.bindAddr),
        proxy: await this.#proxy.listen(proxy.bindAddr),
      };
      addClusterMetrics(this.#metrics, node, hops.requests);
      this.#upstreams.onListeners = (endpointId, count) => node.setListeners(endpointId, count);
      this.#context.cluster = node;
      this.#context.hops = hops;
      node.start(
        node.advertise(proxy.advertiseAddr, addresses.proxy, "--proxy.advertise-addr"),
        node.advertise(admin.advertiseAddr, addresses.admin, "--admin.advertise-addr"),
      );
      return addresses;
    } catch (error) {
      this.#destroy();
      throw error;
    }
  }

  /** Joins the others and becomes ready; rejects when that fails and is to be the end. Returns early when `stop` is called. */
  async join(): Promise<void> {
    try {
      await this.#cluster?.join(this.#stopping.signal);
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      this.#destroy();
      throw error;
    }
    this.#ready = !this.#stopping.signal.aborted;
    if (this.#ready) this.#rebalancer.start();
  }

  /**
   * Stops gracefully: not ready at once, open for `delayMs` more, while others ask it last; then its tunnels move to other
   * nodes, over `windowMs`, requests under way end, and it leaves the cluster. What is left near the end of the grace period
   * is cut.
   */
  async stop({ delayMs, windowMs }: { delayMs: number; windowMs: number }): Promise<void> {
    const graceMs = this.#config.gracePeriodMs;
    const endMs = this.#clock.now() + graceMs;
    const cutMs = endMs - Math.min(LEAVE_MS, graceMs / 4);
    const wasReady = this.#ready;
    this.#ready = false;
    this.#stopping.abort();
    this.#rebalancer.stop();
    this.#proxy.discourage();
    this.#cluster?.drain();
    // No load balancer knows of a node that was never ready.
    const finished = this.#finish(wasReady ? delayMs : 0, windowMs, cutMs);
    if (!(await this.#before(cutMs, finished))) {
      this.#logger.warn("grace period is over, cutting what is left", {
        connections: this.#proxy.connectionCount,
        tunnels: this.#upstreams.tunnelCount,
      });
    }
    this.#upstream.close();
    this.#proxy.destroy();
    await this.#before(endMs, this.#cluster?.leave());
    this.#destroy();
  }

  /** What has to end by itself. */
  async #finish(delayMs: number, windowMs: number, cutMs: number): Promise<void> {
    if (delayMs > 0) {
      this.#logger.info("waiting for load balancers to notice", { "drain-delay-ms": delayMs });
      await this.#pause(delayMs);
    }
    this.#upstream.stopAccepting();
    // Without other nodes agents have nowhere to go, and are needed for the requests under way. Otherwise the proxy port
    // stays open for the others until they know where its tunnels have gone.
    if (this.#cluster?.hasOthers === true) {
      await this.#upstream.drain(windowMs, cutMs);
      await this.#pause(SETTLE_ROUNDS * this.#config.cluster.gossip.intervalMs);
    }
    await this.#proxy.drain();
  }

  /** Waits for `work`, until `endMs` at the latest; false if it was late. */
  async #before(endMs: number, work: Promise<unknown> | undefined): Promise<boolean> {
    let timer: Timer | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = this.#clock.setTimeout(() => resolve(false), Math.max(0, endMs - this.#clock.now()));
    });
    const inTime = await Promise.race([Promise.resolve(work).then(() => true), late]);
    if (timer !== undefined) this.#clock.clearTimeout(timer);
    return inTime;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.setTimeout(resolve, ms));
  }

  #destroy(): void {
    this.#proxy.destroy();
    this.#upstream.destroy();
    this.#admin.close();
    this.#context.hops?.close();
    void this.#cluster?.close();
  }
}
