// A TCP load balancer in front of the nodes' proxy and upstream ports. It polls `/ready` ten times a second, as a Kubernetes
// Service or a cloud load balancer does, and only then notices changes; open connections stay open.

import { once } from "node:events";
import { get } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { eventually } from "./deadline.js";
import type { RunningServer } from "./piko.js";
import type { Stage } from "./stage.js";

const POLL_MS = 100;

export class LoadBalancer {
  /** The addresses that clients and agents connect to. */
  readonly proxy: string;
  readonly upstream: string;
  readonly #servers = new Set<RunningServer>();
  readonly #ready = new Set<RunningServer>();
  /** Upstream ports of nodes without a readiness page. */
  readonly #upstreams: string[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #listeners: readonly [Server, Server];
  readonly #timer: NodeJS.Timeout;
  #turn = 0;

  private constructor(proxy: Server, upstream: Server) {
    this.#listeners = [proxy, upstream];
    this.proxy = addressOf(proxy);
    this.upstream = addressOf(upstream);
    const ready = (): RunningServer[] => [...this.#ready];
    proxy.on("connection", (client: Socket) =>
      this.#join(
        client,
        ready().map(({ proxy: address }) => address),
      ),
    );
    upstream.on("connection", (client: Socket) => {
      const addresses = ready().map(({ upstream: address }) => address);
      this.#join(client, [...addresses, ...this.#upstreams]);
    });
    this.#timer = setInterval(() => {
      for (const server of this.#servers) this.#poll(server);
    }, POLL_MS);
  }

  static async start(stage: Stage): Promise<LoadBalancer> {
    const listen = async (): Promise<Server> => {
      const server = createServer({ pauseOnConnect: true, noDelay: true });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    };
    const balancer = new LoadBalancer(await listen(), await listen());
    stage.defer(() => balancer.#stop());
    return balancer;
  }

  /** Adds a node; returns when it gets connections. */
  async add(server: RunningServer): Promise<void> {
    this.#servers.add(server);
    await eventually(() => this.#ready.has(server), "readiness at the load balancer");
  }

  /** Sends agents to another node, too. It is never removed, and gets no clients. */
  addUpstream(address: string): void {
    this.#upstreams.push(address);
  }

  /** Removes a node that has stopped. */
  remove(server: RunningServer): void {
    this.#servers.delete(server);
    this.#ready.delete(server);
  }

  #poll(server: RunningServer): void {
    const request = get(`http://${server.admin}/ready`, { agent: false, timeout: 1_000 }, (response) => {
      response.resume();
      if (response.statusCode === 200 && this.#servers.has(server)) this.#ready.add(server);
      else this.#ready.delete(server);
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => this.#ready.delete(server));
  }

  #join(client: Socket, addresses: readonly string[]): void {
    this.#keep(client);
    const address = addresses[this.#turn++ % Math.max(1, addresses.length)];
    if (address === undefined) {
      client.destroy();
      return;
    }
    const [host, port] = address.split(":");
    const upstream = this.#keep(connect({ host, port: Number(port), noDelay: true }));
    client.pipe(upstream).pipe(client);
    // `pipe` passes on a normal end; after an error, the other side must be cut as well.
    client.on("error", () => upstream.destroy());
    upstream.on("error", () => client.destroy());
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket);
    socket.on("error", () => {}).on("close", () => this.#sockets.delete(socket));
    return socket;
  }

  async #stop(): Promise<void> {
    clearInterval(this.#timer);
    const closed = this.#listeners.map((listener) => once(listener, "close"));
    for (const listener of this.#listeners) listener.close();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }
}

function addressOf(server: Server): string {
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
