// Several nodes in one process, started and stopped on request: one change at a time, and the oldest node first.

import { formatHostPort } from "../base/address.js";
import type { GivenSetting } from "../config/load-config.js";
import { loadConfig } from "../config/load-config.js";
import { SERVER, type ServerConfig } from "../config/server.js";
import type { Logger } from "../observability/logger.js";
import { Node, type NodeAddresses } from "../server/node.js";

/** How long a stopping node still accepts requests that were on their way when the balancer removed it. */
const DRAIN_DELAY_MS = 200;
/** The time over which a stopping node moves its tunnels. */
const DRAIN_WINDOW_MS = 1_000;

/** A node, and the addresses of its ports. */
export interface TestNode {
  readonly node: Node;
  readonly addresses: NodeAddresses;
}

export class TestCluster {
  readonly #logger: Logger;
  readonly #version: string;
  #nodes: readonly TestNode[] = [];
  #started = 0;
  /** The last queued change; each waits for the one before it. */
  #change: Promise<void> = Promise.resolve();

  /** `version`: the program's version, which the nodes announce to each other. */
  constructor(logger: Logger, version: string) {
    this.#logger = logger;
    this.#version = version;
  }

  /** The nodes that accept requests, oldest first. */
  get nodes(): readonly TestNode[] {
    return this.#nodes;
  }

  /** Starts or stops nodes until there are `count`. Rejects if a node can't be started. */
  resize(count: number): Promise<void> {
    return this.#enqueue(async () => {
      while (this.#nodes.length < count) await this.#start();
      while (this.#nodes.length > count) await this.#stopOldest();
    });
  }

  /** Starts a node, then stops the oldest one, or kills it without warning. */
  replaceOldest({ kill }: { kill: boolean }): Promise<void> {
    return this.#enqueue(async () => {
      await this.#start();
      if (kill) this.#killOldest();
      else await this.#stopOldest();
    });
  }

  /** Stops all nodes at the same time, after the queued changes. */
  close(): Promise<void> {
    return this.#enqueue(async () => {
      const nodes = this.#nodes;
      this.#nodes = [];
      await Promise.all(nodes.map(({ node }) => node.stop({ delayMs: 0, windowMs: 0 })));
    });
  }

  /** Queues a change, which runs even if the one before it fails. */
  #enqueue(change: () => Promise<void>): Promise<void> {
    const result = this.#change.then(change);
    this.#change = result.catch(() => {});
    return result;
  }

  async #start(): Promise<void> {
    this.#started++;
    const id = `node-${this.#started}`;
    const join = this.#nodes.map(({ addresses }) => formatHostPort(addresses.gossip));
    const node = await Node.start({
      config: nodeConfig(id, join),
      logger: labeled(this.#logger, id),
      version: this.#version,
      ownProcess: false,
    });
    const { addresses } = node;
    await node.join();
    this.#nodes = [...this.#nodes, { node, addresses }];
    this.#logger.info("node started", describe({ node, addresses }));
  }

  async #stopOldest(): Promise<void> {
    const [oldest, ...others] = this.#nodes;
    if (oldest === undefined) return;
    // From here on, the balancer no longer uses the node.
    this.#nodes = others;
    this.#logger.info("stopping node", { "node-id": oldest.node.id });
    await oldest.node.stop({ delayMs: DRAIN_DELAY_MS, windowMs: DRAIN_WINDOW_MS });
    this.#logger.info("node stopped", { "node-id": oldest.node.id });
  }

  #killOldest(): void {
    const [oldest, ...others] = this.#nodes;
    if (oldest === undefined) return;
    this.#nodes = others;
    oldest.node.kill();
    this.#logger.info("node killed", { "node-id": oldest.node.id });
  }
}

/** A node's id and addresses, for a log line. */
function describe({ node, addresses }: TestNode): Record<string, string> {
  const { admin, proxy, upstream } = addresses;
  return {
    "node-id": node.id,
    proxy: formatHostPort(proxy),
    upstream: formatHostPort(upstream),
    admin: formatHostPort(admin),
  };
}

function nodeConfig(id: string, join: readonly string[]): ServerConfig {
  const settings: Readonly<Record<string, unknown>> = {
    "cluster.nodeId": id,
    "cluster.join": join,
    "cluster.gossip.intervalMs": "10ms",
    "cluster.gossip.bindAddr": "127.0.0.1:0",
    "proxy.bindAddr": "127.0.0.1:0",
    "upstream.bindAddr": "127.0.0.1:0",
    "admin.bindAddr": "127.0.0.1:0",
    gracePeriodMs: "10s",
  };
  const given: GivenSetting[] = Object.entries(settings).map(([path, value]) => ({
    keys: path.split("."),
    value,
    flag: path,
  }));
  return loadConfig(SERVER, { path: undefined, expandEnv: false, env: {}, given });
}

/** The log of one node among several: each line names its node. */
function labeled(logger: Logger, id: string): Logger {
  const log =
    (level: "debug" | "info" | "warn" | "error"): Logger["info"] =>
    (message, fields = {}) =>
      logger[level](message, { at: id, ...fields });
  return {
    debug: log("debug"),
    info: log("info"),
    warn: log("warn"),
    error: log("error"),
    subsystem: (name) => labeled(logger.subsystem(name), id),
    to: (sink) => labeled(logger.to(sink), id),
    enabled: (level) => logger.enabled(level),
    sink: logger.sink,
  };
}
