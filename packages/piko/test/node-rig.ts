// A node's data path without sockets: a client's connection, its exchange, and a tunnel, all in memory, with a fake clock.

import { FakeClock } from "@piko/testkit";
import { Authorizer } from "../src/auth/authorizer.js";
import { loadConfig } from "../src/config/load-config.js";
import { type ProxyConfig, SERVER } from "../src/config/server.js";
import { ALL_REASONS } from "../src/http/reasons.js";
import { ByteBudget } from "../src/net/byte-budget.js";
import { OpenFiles } from "../src/net/accept/open-files.js";
import { DeadlineSweep } from "../src/net/deadline-sweep.js";
import { RequestMetrics } from "../src/observability/request-metrics.js";
import { createSilentLogger } from "./silent-logger.js";
import type { Client } from "../src/server/clients/client.js";
import { H1Client } from "../src/server/clients/h1-client.js";
import { ProxyContext, type ProxyDependencies } from "../src/server/exchange/proxy-context.js";
import { ReconnectWaits } from "../src/server/upstream/reconnect-waits.js";
import { Upstreams } from "../src/server/upstream/upstreams.js";
import { MemorySocket } from "./memory-socket.js";
import { MemoryTunnel } from "./memory-stream.js";

export interface NodeRigOptions {
  readonly limits?: Partial<ProxyConfig["limits"]>;
  readonly http?: Partial<ProxyConfig["http"]>;
  /** More settings of the proxy port. */
  readonly settings?: Partial<ProxyConfig>;
  readonly maxBytes?: number;
  readonly trusted?: boolean;
  /** More about the connection's client. */
  readonly peer?: Partial<Client>;
  /** Other nodes, and whatever else differs from a single node. */
  readonly dependencies?: Partial<ProxyDependencies>;
}

export class NodeRig {
  readonly clock = new FakeClock();
  readonly context: ProxyContext;
  readonly upstreams: Upstreams;
  readonly budget: ByteBudget;
  readonly socket = new MemorySocket();
  readonly connection: H1Client;
  readonly metrics = new RequestMetrics({});
  readonly hits: string[] = [];
  gone = 0;
  tunnel = new MemoryTunnel("e");

  constructor(options: NodeRigOptions = {}) {
    const { limits, http, settings, maxBytes = 10_000_000, trusted = false, dependencies } = options;
    const { proxy } = loadConfig(SERVER, { path: undefined, expandEnv: false, env: {}, given: [] });
    const changed = { limits: { ...proxy.limits, ...limits }, http: { ...proxy.http, ...http }, ...settings };
    const config = { ...proxy, ...changed };
    const { clock } = this;
    this.budget = new ByteBudget(maxBytes);
    const waits = new ReconnectWaits(clock, config.reconnectWaitMs, 10);
    this.upstreams = new Upstreams(
      waits,
      () => {},
      () => 0,
    );
    this.upstreams.add(this.tunnel.asTunnel());
    const hit = (name: string): void => void this.hits.push(name);
    this.context = new ProxyContext({
      config,
      auth: new Authorizer({ port: "proxy", maxPending: 10, wallNow: () => 0 }),
      upstreams: this.upstreams,
      upstreamMetrics: {
        requests: 0,
        retries: 0,
        waited: { found: 0, expired: 0, left: 0 },
        limits: { hit },
      },
      accessLog: { enabled: false },
      metrics: this.metrics,
      limits: { hit },
      budget: this.budget,
      files: new OpenFiles(Number.POSITIVE_INFINITY),
      logger: createSilentLogger(),
      clock,
      sweep: new DeadlineSweep(clock),
      dateLine: { get: () => Buffer.from("Date: now\r\n") },
      ...dependencies,
    } as unknown as ProxyDependencies);
    const client = {
      address: "192.0.2.1",
      trusted,
      secure: false,
      certificate: "",
      counted: true,
      ...options.peer,
    };
    this.connection = new H1Client(this.context, this.socket.asSocket(), client, () => void this.gone++);
  }

  get stream(): MemoryTunnel["stream"] {
    return this.tunnel.stream;
  }

  /** Number of requests that have reached the agent. */
  get asked(): number {
    return this.tunnel.streams.length;
  }

  /** Counts of statuses, from the metrics. */
  get statuses(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { labels, latency } of this.metrics.series()) {
      const status = labels["status"] ?? "";
      counts[status] = (counts[status] ?? 0) + latency.count;
    }
    return counts;
  }

  /** Counts of failed requests by reason, from the metrics. */
  get failures(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { code, place } of ALL_REASONS) {
      const count = this.metrics.failures[place] ?? 0;
      if (count > 0) counts[code] = count;
    }
    return counts;
  }

  /** The client's socket closes. */
  close(): void {
    this.socket.handler?.onClose(undefined);
  }
}
