// A Go node of a cluster, based on the libraries of the Go program. Its gossip and its ports are two programs; this class
// passes what one of them knows to the other as soon as it changes.

import { type GoServer, startGoNode, startGoServer } from "./go-peer.js";
import type { Program } from "./program.js";
import type { Stage } from "./stage.js";

const POLL_MS = 10;

/** A Go node. */
export class GoClusterNode {
  readonly server: GoServer;
  /** The address of its gossip port. */
  readonly gossip: string;
  readonly #program: Program;
  /** Number of tunnels for each endpoint of this node, as last announced. */
  #announced: Readonly<Record<string, number>> = {};
  /** The other nodes by id: proxy address and endpoints. */
  readonly #nodes = new Map<string, { proxy: string; readonly endpoints: Set<string> }>();
  #read = 0;
  readonly #routes = new Map<string, string>();
  #stopped = false;
  readonly #ended: Promise<void>;

  private constructor(server: GoServer, program: Program, gossip: string) {
    this.server = server;
    this.gossip = gossip;
    this.#program = program;
    program.write(`upsert proxy_addr ${server.proxy}`);
    program.write("upsert admin_addr 127.0.0.1:1");
    this.#ended = this.#run();
  }

  static async start(stage: Stage, id: string): Promise<GoClusterNode> {
    const server = await startGoServer(stage);
    const { gossip, program } = await startGoNode(stage, id);
    const node = new GoClusterNode(server, program, gossip);
    stage.defer(async () => {
      node.#stopped = true;
      await node.#ended;
    });
    return node;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await this.#announce();
      this.#applyEvents();
      await this.#route();
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Announces this node's tunnels to the cluster. */
  async #announce(): Promise<void> {
    const now = await this.server.listeners();
    for (const endpoint of new Set([...Object.keys(now), ...Object.keys(this.#announced)])) {
      const count = now[endpoint];
      if (count === undefined) this.#program.write(`delete endpoint:${endpoint}`);
      else if (count !== this.#announced[endpoint])
        this.#program.write(`upsert endpoint:${endpoint} ${count}`);
    }
    this.#announced = now;
  }

  /** Applies what gossip has reported since the last call. */
  #applyEvents(): void {
    for (; this.#read < this.#program.lines.length; this.#read++) {
      const { id, key, msg, value, reachable } = this.#program.lines[this.#read]?.fields ?? {};
      const node = this.#nodes.get(String(id)) ?? { proxy: "", endpoints: new Set<string>() };
      const endpoint = /^endpoint:(.*)/.exec(String(key))?.[1];
      if (msg === "leave" || msg === "expired" || (msg === "reachable" && reachable === false))
        this.#nodes.delete(String(id));
      else if (msg === "upsert" || msg === "delete") this.#nodes.set(String(id), node);
      if (msg === "upsert" && key === "proxy_addr") node.proxy = String(value);
      if (msg === "upsert" && endpoint !== undefined) node.endpoints.add(endpoint);
      if (msg === "delete" && endpoint !== undefined) node.endpoints.delete(endpoint);
    }
  }

  /** Tells the program with the ports which node to use for each endpoint that has no tunnel here. */
  async #route(): Promise<void> {
    for (const { proxy, endpoints } of this.#nodes.values()) {
      for (const endpoint of endpoints) {
        const known = this.#routes.get(endpoint);
        const valid = [...this.#nodes.values()].some(
          (node) => node.proxy === known && node.endpoints.has(endpoint),
        );
        if (valid || proxy === "") continue;
        this.#routes.set(endpoint, proxy);
        const url = `http://${this.server.control}/node?endpoint=${endpoint}&addr=${proxy}`;
        await fetch(url, { method: "POST" });
      }
    }
  }
}
