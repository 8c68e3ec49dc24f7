// `piko test cluster`: a cluster in one process, for experiments. As in production, a load balancer in front of each kind of
// port chooses a node at random. Nodes can be added and removed.

import { type Clock, systemClock, type Timer } from "@piko/tunnel";
import { formatHostPort, type HostPort } from "../base/address.js";
import type { TestClusterConfig } from "../config/test-cluster.js";
import type { Logger } from "../observability/logger.js";
import { TcpBalancer } from "./tcp-balancer.js";
import { TestCluster } from "./test-cluster.js";

export interface RunTestClusterOptions {
  readonly config: TestClusterConfig;
  readonly logger: Logger;
  /** The program's version, which the nodes announce to each other. */
  readonly version: string;
  /** Aborted by the first SIGTERM or SIGINT. */
  readonly signal: AbortSignal;
  /** Registers a listener. It is called when the configuration may have changed, with a function that reads it. */
  readonly onReload: (listener: (load: () => TestClusterConfig) => void) => void;
  readonly clock?: Clock;
}

const PORTS = ["proxy", "upstream", "admin"] as const;

/** Runs a cluster until `signal`; rejects if a port can't be bound. */
export async function runTestCluster(options: RunTestClusterOptions): Promise<void> {
  const { config, logger, onReload, signal, clock = systemClock, version } = options;
  const log = logger.subsystem("cluster.manager");
  const cluster = new TestCluster(log, version);
  const churn = new Churn(cluster, clock, log);
  const balancers = PORTS.map(
    (name) =>
      new TcpBalancer({
        name: `${name} balancer`,
        targets: () => cluster.nodes.map(({ addresses }) => addresses[name]),
        // oxlint-disable-next-line no-restricted-properties -- random numbers are passed down from here
        random: Math.random,
      }),
  );
  try {
    const addresses: HostPort[] = [];
    for (const [at, balancer] of balancers.entries()) {
      addresses.push(await balancer.listen(config[PORTS[at] ?? "proxy"].bindAddr));
    }
    await cluster.resize(config.nodes);
    const [proxy, upstream, admin] = addresses.map(formatHostPort);
    log.info("cluster started", { nodes: cluster.nodes.length, proxy, upstream, admin });
    if (logger.sink.format === "pretty") for (const line of nextSteps(addresses)) log.info(line);
    churn.set(config.churn);
    onReload((load) => reload(load, cluster, churn, log));
    await aborted(signal);
    log.info("starting shutdown");
    churn.set({ intervalMs: 0, kill: false });
    for (const balancer of balancers) balancer.stopAccepting();
    await cluster.close();
    log.info("shutdown complete");
  } finally {
    for (const balancer of balancers) balancer.close();
    await cluster.close();
  }
}

/** Replaces the oldest node periodically; the interval counts from the end of the previous replacement. */
class Churn {
  readonly #cluster: TestCluster;
  readonly #clock: Clock;
  readonly #log: Logger;
  #intervalMs = 0;
  #kill = false;
  #timer: Timer | undefined;

  constructor(cluster: TestCluster, clock: Clock, log: Logger) {
    this.#cluster = cluster;
    this.#clock = clock;
    this.#log = log;
  }

  /** An interval of 0 stops the replacements. */
  set({ intervalMs, kill }: TestClusterConfig["churn"]): void {
    this.#kill = kill;
    if (intervalMs === this.#intervalMs) return;
    this.#intervalMs = intervalMs;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#wait();
  }

  #wait(): void {
    const intervalMs = this.#intervalMs;
    if (intervalMs === 0) return;
    const timer = this.#clock.setTimeout(() => {
      this.#cluster
        .replaceOldest({ kill: this.#kill })
        .catch((error: unknown) => this.#log.error("could not replace node", { error }))
        .finally(() => {
          // Unless another interval has been set meanwhile.
          if (this.#timer === timer) this.#wait();
        });
    }, intervalMs);
    this.#timer = timer;
  }
}

/** Applies the number of nodes and the churn; a configuration that can't be read changes nothing. */
function reload(load: () => TestClusterConfig, cluster: TestCluster, churn: Churn, log: Logger): void {
  let config: TestClusterConfig;
  try {
    config = load();
  } catch (error) {
    log.error("could not reload configuration", { error });
    return;
  }
  churn.set(config.churn);
  cluster.resize(config.nodes).then(
    () => log.info("configuration reloaded", { nodes: cluster.nodes.length }),
    (error: unknown) => log.error("could not resize cluster", { error }),
  );
}

/** What a user at a terminal can do next. */
function nextSteps([proxy, upstream, admin]: readonly HostPort[]): string[] {
  const url = (address: HostPort | undefined): string => `http://localhost:${address?.port ?? 0}`;
  return [
    `expose a service:  piko agent http my-endpoint 3000 --connect.url ${url(upstream)}`,
    `reach it:          curl -H 'x-piko-endpoint: my-endpoint' ${url(proxy)}/`,
    `look at it:        piko server status cluster nodes --server.url ${url(admin)}`,
  ];
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
