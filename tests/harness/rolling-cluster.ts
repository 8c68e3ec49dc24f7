// Nodes behind a load balancer that are replaced one after the other.

import { activeNodes } from "./cluster.js";
import { eventually } from "./deadline.js";
import { LoadBalancer } from "./load-balancer.js";
import { type RunningServer, startServer } from "./piko.js";
import type { Stage } from "./stage.js";

/** Times that suit a load balancer which polls ten times a second, and no access log, which no test reads. */
const FLAGS = {
  "drain-delay": "2s",
  "drain-window": "2s",
  "proxy.access-log.disable": "true",
  "proxy.timeout": "1m",
};

/** Nodes behind a load balancer. */
export class RollingCluster {
  readonly balancer: LoadBalancer;
  readonly nodes: RunningServer[] = [];
  /** The current nodes and all their predecessors. */
  readonly past: RunningServer[] = [];
  readonly #stage: Stage;
  /** Number of nodes in the cluster that aren't in `nodes`. */
  readonly #others: number;
  #flags: Readonly<Record<string, string>>;
  #count = 0;

  private constructor(
    stage: Stage,
    balancer: LoadBalancer,
    flags: Readonly<Record<string, string>>,
    others: number,
  ) {
    this.#stage = stage;
    this.#others = others;
    this.balancer = balancer;
    this.#flags = flags;
  }

  /** Starts a cluster of `nodes` nodes. `others` is the number of further members, which these nodes join by `flags`. */
  static async start(
    stage: Stage,
    flags: Readonly<Record<string, string>> = {},
    others = 0,
    nodes = 3,
  ): Promise<RollingCluster> {
    const balancer = await LoadBalancer.start(stage);
    const cluster = new RollingCluster(stage, balancer, { ...FLAGS, ...flags }, others);
    for (let i = 0; i < nodes; i++) await cluster.#add();
    return cluster;
  }

  /** Replaces every node in turn: SIGTERM, wait for the exit, start a new one. The flags apply from now on. */
  async roll(flags: Readonly<Record<string, string>> = {}): Promise<void> {
    this.#flags = { ...this.#flags, ...flags };
    for (const node of [...this.nodes]) {
      node.program.signal("SIGTERM");
      await node.program.stopped(90_000);
      this.#forget(node);
      await this.#add();
    }
  }

  /** Kills a node; the load balancer finds out by itself. */
  async kill(node: RunningServer): Promise<void> {
    await node.program.kill();
    this.#forget(node);
  }

  /** Starts another node, and waits until all nodes know each other. */
  async replace(): Promise<void> {
    await this.#add();
  }

  /** Waits until requests for the endpoint are answered by every node. */
  async untilKnown(endpoint: string): Promise<void> {
    for (const { proxy } of this.nodes) {
      await eventually(async () => {
        const response = await fetch(`http://${proxy}/item?i=1`, {
          headers: { "x-piko-endpoint": endpoint },
        });
        await response.arrayBuffer();
        return response.ok;
      }, `an answer from ${proxy}`);
    }
  }

  #forget(node: RunningServer): void {
    this.balancer.remove(node);
    this.nodes.splice(this.nodes.indexOf(node), 1);
  }

  async #add(): Promise<void> {
    const join = this.nodes.map(({ gossip }) => gossip).join(",");
    const id = `n${this.#count++}`;
    const flags = { "cluster.node-id": id, ...(join === "" ? {} : { "cluster.join": join }), ...this.#flags };
    const node = await startServer(this.#stage, flags);
    this.nodes.push(node);
    this.past.push(node);
    await this.balancer.add(node);
    for (const each of this.nodes) {
      await eventually(
        async () => (await activeNodes(each)).split(" ").length === this.nodes.length + this.#others,
        `${this.nodes.length + this.#others} nodes at ${each.admin}`,
      );
    }
  }
}
