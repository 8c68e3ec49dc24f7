// A cluster whose nodes are replaced one after the other while clients go on: nobody may notice. The long run replaces each
// of them ten times.

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { activeNodes } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { haveGo, startGoAgent } from "../harness/go-peer.js";
import { LONG } from "../harness/long-run.js";
import { LoadBalancer } from "../harness/load-balancer.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { answer } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import type { Stage } from "../harness/stage.js";
import { Traffic } from "../harness/traffic.js";

const ROUNDS = LONG ? 10 : 1;
const scene = perTest();

/** Times that suit a load balancer which looks ten times a second; and no lines of requests, which nobody reads here. */
const FLAGS = { "drain-delay": "2s", "drain-window": "2s", "proxy.access-log.disable": "true" };
const AGENT = { flags: ["--access-log.disable"] };

/** Three nodes behind a load balancer. */
class Cluster {
  readonly balancer: LoadBalancer;
  readonly nodes: RunningServer[] = [];
  readonly #stage: Stage;
  readonly #flags: Readonly<Record<string, string>>;
  #count = 0;

  private constructor(stage: Stage, balancer: LoadBalancer, flags: Readonly<Record<string, string>>) {
    this.#stage = stage;
    this.balancer = balancer;
    this.#flags = flags;
  }

  static async start(stage: Stage, flags: Readonly<Record<string, string>> = {}): Promise<Cluster> {
    const cluster = new Cluster(stage, await LoadBalancer.start(stage), { ...FLAGS, ...flags });
    for (let i = 0; i < 3; i++) await cluster.#add();
    return cluster;
  }

  /** Replaces every node: SIGTERM, its end, a new one. */
  async roll(): Promise<void> {
    for (const node of [...this.nodes]) {
      node.program.signal("SIGTERM");
      await node.program.stopped(90_000);
      this.balancer.remove(node);
      this.nodes.splice(this.nodes.indexOf(node), 1);
      await this.#add();
    }
  }

  /** Waits until requests for the endpoint are answered by every node. */
  async knows(endpoint: string): Promise<void> {
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

  async #add(): Promise<void> {
    const join = this.nodes.map(({ gossip }) => gossip).join(",");
    const id = `n${this.#count++}`;
    const flags = { "cluster.node-id": id, ...(join === "" ? {} : { "cluster.join": join }), ...this.#flags };
    const node = await startServer(this.#stage, flags);
    this.nodes.push(node);
    await this.balancer.add(node);
    for (const each of this.nodes) {
      await eventually(
        async () => (await activeNodes(each)).split(" ").length === this.nodes.length,
        `${this.nodes.length} nodes at ${each.admin}`,
      );
    }
  }
}

/** The sample service with WebSockets that send back what they get. */
async function startService(stage: Stage): Promise<string> {
  const server = createServer((request, response) => void answer(request, response));
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) =>
    socket.on("message", (message, binary) => socket.send(message, { binary })),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stage.defer(async () => {
    for (const socket of sockets.clients) socket.terminate();
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("nodes that are replaced one after the other", () => {
  it("cost nothing with two agents: no request, no event stream, no WebSocket", async () => {
    const service = await startService(scene);
    const cluster = await Cluster.start(scene);
    for (let i = 0; i < 2; i++) await startAgent(scene, cluster.balancer.upstream, "web", service, AGENT);
    await cluster.knows("web");
    const traffic = Traffic.start(scene, cluster.balancer.proxy, "web", {
      get: 180,
      post: 110,
      slow: 6,
      events: 2,
      webSockets: 2,
    });
    for (let i = 0; i < ROUNDS; i++) await cluster.roll();
    const { counts, failures } = await traffic.stop();
    console.info(`two agents, ${ROUNDS * 3} nodes replaced: ${JSON.stringify(counts)}`);
    expect(failures.slice(0, 20)).toEqual([]);
    expect(counts["get"]).toBeGreaterThan(500);
    expect(counts["events"]).toBeGreaterThan(5);
  }, 1_800_000);

  it("cost nothing with one agent", async () => {
    const service = await startService(scene);
    const cluster = await Cluster.start(scene);
    await startAgent(scene, cluster.balancer.upstream, "web", service, AGENT);
    await cluster.knows("web");
    const traffic = Traffic.start(scene, cluster.balancer.proxy, "web", {
      get: 180,
      post: 110,
      slow: 6,
      events: 2,
    });
    for (let i = 0; i < ROUNDS; i++) await cluster.roll();
    const { counts, failures } = await traffic.stop();
    console.info(`one agent, ${ROUNDS * 3} nodes replaced: ${JSON.stringify(counts)}`);
    expect(failures.slice(0, 20)).toEqual([]);
  }, 1_800_000);

  it.runIf(haveGo)(
    "cost no request that may be repeated with one Go agent",
    async () => {
      const service = await startService(scene);
      const cluster = await Cluster.start(scene, { "grace-period": "20s" });
      await startGoAgent(scene, cluster.balancer.upstream, "web", service);
      await cluster.knows("web");
      const traffic = Traffic.start(scene, cluster.balancer.proxy, "web", { get: 250 });
      for (let i = 0; i < ROUNDS; i++) await cluster.roll();
      const { counts, failures } = await traffic.stop();
      console.info(`a Go agent, ${ROUNDS * 3} nodes replaced: ${JSON.stringify(counts)}`);
      expect(failures.slice(0, 20)).toEqual([]);
    },
    1_800_000,
  );
});
