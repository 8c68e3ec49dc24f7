// A node's proxy port refuses connections for a moment, as behind a load balancer that is being reloaded, while gossip still
// considers the node reachable. Requests in that moment are answered as soon as it accepts connections again.

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { startCluster, untilEndpoints } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { ask } from "../harness/load.js";
import { metric } from "../harness/metrics.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perTest, type Stage } from "../harness/stage.js";

const scene = perTest();
/** A loopback address that nothing else uses: the port stays free while nothing listens on it. */
const GATE_HOST = "127.0.83.1";

/** A way to a node's proxy port that can be closed and opened again. */
class Gate {
  readonly addr: string;
  target = "";
  readonly #port: number;
  readonly #sockets = new Set<Socket>();
  #server: Server;

  private constructor(server: Server) {
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server.on("connection", (socket: Socket) => this.#join(socket));
    this.addr = `${GATE_HOST}:${this.#port}`;
  }

  static async start(stage: Stage): Promise<Gate> {
    const server = createServer().listen(0, GATE_HOST);
    await once(server, "listening");
    const gate = new Gate(server);
    stage.defer(() => gate.shut());
    return gate;
  }

  /** From now on connections are refused; open ones are reset. */
  async shut(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  async open(): Promise<void> {
    this.#server = createServer((socket) => this.#join(socket)).listen(this.#port, GATE_HOST);
    await once(this.#server, "listening");
  }

  #join(socket: Socket): void {
    const [host, port] = this.target.split(":");
    const upstream = connect({ host, port: Number(port) });
    for (const each of [socket, upstream]) {
      this.#sockets.add(each);
      each.on("error", () => {}).on("close", () => this.#sockets.delete(each));
    }
    socket.pipe(upstream).pipe(socket);
  }
}

describe("while the only node with an endpoint refuses connections", () => {
  it.each(["GET", "PUT"])(
    "a %s waits, and is answered when connections are accepted again",
    async (method) => {
      const [near] = await startCluster(scene, ["near"]);
      const gate = await Gate.start(scene);
      const far: RunningServer = await startServer(scene, {
        "cluster.node-id": "far",
        "cluster.join": near.gossip,
        "proxy.advertise-addr": gate.addr,
      });
      gate.target = far.proxy;
      const service = await Service.start(scene);
      await startAgent(scene, far.upstream, "web", service.addr);
      await untilEndpoints(near, "far", 1);
      const body = method === "PUT" ? { body: "hello" } : {};
      const request = async (): Promise<number> => {
        const response = await ask(near, "web", "/item?i=1", { method, ...body });
        await response.arrayBuffer();
        return response.status;
      };
      expect(await request()).toBe(200);

      await gate.shut();
      const sent = async (): Promise<number> =>
        (await metric(near.admin, 'piko_upstreams_remote_requests_total{node_id="far"}')) ?? 0;
      const before = await sent();
      const answers = Promise.all(Array.from({ length: 10 }, request));
      await eventually(async () => (await sent()) >= before + 10, "requests in flight");
      await gate.open();
      expect(await answers).toEqual(Array.from({ length: 10 }, () => 200));
    },
  );
});
