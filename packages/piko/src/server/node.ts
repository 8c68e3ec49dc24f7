// One node: wires its ports together, and takes them down in the order that loses nothing.

import { type Clock, systemClock } from "@piko/tunnel";
import type { HostPort } from "../config/address.js";
import type { ServerConfig } from "../config/server.js";
import { ByteBudget } from "../net/byte-budget.js";
import { DateLine } from "../net/date-line.js";
import { DeadlineSweep } from "../net/deadline-sweep.js";
import { AccessLog } from "../observability/access-log.js";
import type { Logger } from "../observability/logger.js";
import { Metrics } from "../observability/metrics.js";
import { RequestMetricsFamily } from "../observability/request-metrics.js";
import { AdminPort } from "./admin/admin-port.js";
import { Cluster } from "./cluster/cluster.js";
import { addClusterMetrics } from "./cluster/cluster-metrics.js";
import { addUseMetrics, createProxyLimits, createUpstreamLimits } from "./limit-metrics.js";
import { generateNodeId } from "./node-id.js";
import { ProxyContext } from "./proxy/proxy-context.js";
import { ProxyPort } from "./proxy/proxy-port.js";
import { UpstreamMetrics } from "./upstream/upstream-metrics.js";
import { UpstreamPort } from "./upstream/upstream-port.js";
import { ReconnectWaits } from "./upstream/reconnect-waits.js";
import { Upstreams } from "./upstream/upstreams.js";

/** Where a node's ports are bound. */
export interface NodeAddresses {
  gossip: HostPort;
  proxy: HostPort;
  upstream: HostPort;
  admin: HostPort;
}

export interface NodeOptions {
  config: ServerConfig;
  logger: Logger;
  clock?: Clock;
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
  /** Aborts what the boot waits for. */
  readonly #stopping = new AbortController();
  #cluster: Cluster | undefined = undefined;
  #ready = false;

  constructor({ config, logger, clock = systemClock }: NodeOptions) {
    this.id =
      config.cluster.nodeId === "" ? generateNodeId(config.cluster.nodeIdPrefix) : config.cluster.nodeId;
    this.#config = config;
    this.#logger = logger;
    this.#clock = clock;
    const metrics = new Metrics();
    this.#metrics = metrics;
    metrics.addProcessMetrics();
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
    this.#upstream = new UpstreamPort({
      nodeId: this.id,
      upstreams,
      config: config.upstream.limits,
      limits: upstreamLimits,
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
      const node = await Cluster.listen({
        nodeId: this.id,
        config: cluster,
        logger: this.#logger.subsystem("cluster"),
        clock: this.#clock,
        onEndpoint: (endpointId) => this.#upstreams.waits.onFound(endpointId),
        onEndpointLost: (endpointId) => {
          if (this.#upstreams.select(endpointId) === undefined) this.#upstreams.waits.onLost(endpointId);
        },
      });
      this.#cluster = node;
      const addresses = {
        gossip: node.gossipAddr,
        admin: await this.#admin.listen(admin.bindAddr, node),
        upstream: await this.#upstream.listen(upstream.bindAddr),
        proxy: await this.#proxy.listen(proxy.bindAddr),
      };
      addClusterMetrics(this.#metrics, node);
      this.#upstreams.onListeners = (endpointId, count) => node.setListeners(endpointId, count);
      this.#context.cluster = node;
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
  }

  /**
   * Stops gracefully: not ready at once, open for `drainDelayMs` more, then no new connections; tunnels are asked to move
   * and requests under way end. Whatever is left after the grace period is cut.
   */
  async stop(drainDelayMs: number): Promise<void> {
    const grace = this.#config.gracePeriodMs;
    // No load balancer knows of a node that was never ready.
    const delayMs = this.#ready ? Math.min(drainDelayMs, grace) : 0;
    this.#ready = false;
    this.#stopping.abort();
    this.#proxy.discourage();
    let timer: ReturnType<Clock["setTimeout"]> | undefined;
    const deadline = new Promise<"late">((resolve) => {
      timer = this.#clock.setTimeout(() => resolve("late"), grace);
    });
    const inTime = await Promise.race([this.#drain(delayMs).then(() => "done"), deadline]);
    if (timer !== undefined) this.#clock.clearTimeout(timer);
    if (inTime === "late") {
      this.#logger.warn("grace period is over, cutting what is left", {
        connections: this.#proxy.connectionCount,
      });
    }
    this.#destroy();
  }

  async #drain(delayMs: number): Promise<void> {
    if (delayMs > 0) {
      this.#logger.info("waiting for load balancers to notice", { "drain-delay-ms": delayMs });
      await new Promise<void>((resolve) => void this.#clock.setTimeout(resolve, delayMs));
    }
    this.#upstream.drain();
    await this.#proxy.drain();
    this.#upstream.close();
    await this.#cluster?.leave();
  }

  #destroy(): void {
    this.#proxy.destroy();
    this.#upstream.destroy();
    this.#admin.close();
    void this.#cluster?.close();
  }
}
