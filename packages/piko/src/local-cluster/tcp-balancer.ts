// A minimal TCP load balancer: each connection goes to a random target, or to another one if that is unreachable. For
// test clusters and the demo, not for production.

import { connect, createServer, type Server, type Socket } from "node:net";
import { resetSocket } from "@piko/tunnel";
import type { HostPort } from "../base/address.js";
import { listen } from "../net/accept/listen.js";

/** A target that hasn't accepted a connection after this time is skipped. */
const CONNECT_MS = 1_000;
/** Each connection takes two file descriptors. */
const MAX_CONNECTIONS = 10_000;

export interface TcpBalancerOptions {
  /** For error messages. */
  readonly name: string;
  /** The current targets of new connections. */
  readonly targets: () => readonly HostPort[];
  /** Numbers in [0, 1). */
  readonly random: () => number;
}

export class TcpBalancer {
  readonly #options: TcpBalancerOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(options: TcpBalancerOptions) {
    this.#options = options;
    // Clients' bytes stay in the kernel until there is a target for them.
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) => {
      this.#keep(client);
      this.#connect(client, this.#shuffled());
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** Binds the port; resolves to the address that it is bound to. */
  listen(address: HostPort): Promise<HostPort> {
    return listen(this.#server, this.#options.name, address);
  }

  /** Accepts no more connections; open ones continue. */
  stopAccepting(): void {
    this.#server.close();
  }

  /** Closes immediately, including open connections. */
  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Tries the targets in turn; resets the client if none of them accepts. */
  #connect(client: Socket, targets: HostPort[]): void {
    const target = targets.pop();
    if (client.destroyed) return;
    if (target === undefined) {
      resetSocket(client);
      return;
    }
    const upstream = connect({ ...target, allowHalfOpen: true, noDelay: true });
    this.#keep(upstream);
    upstream.setTimeout(CONNECT_MS, () => upstream.destroy());
    const next = (): void => this.#connect(client, targets);
    upstream.once("close", next);
    upstream.once("connect", () => {
      upstream.off("close", next);
      upstream.setTimeout(0);
      if (client.destroyed) upstream.destroy();
      else join(client, upstream);
    });
  }

  #shuffled(): HostPort[] {
    const targets = [...this.#options.targets()];
    for (let at = targets.length - 1; at > 0; at--) {
      const other = Math.floor(this.#options.random() * (at + 1));
      const [one, two] = [targets[at], targets[other]];
      if (one !== undefined && two !== undefined) [targets[at], targets[other]] = [two, one];
    }
    return targets;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    // An error is followed by `close`, which reports that there was one.
    socket.on("error", () => {}).once("close", () => this.#sockets.delete(socket));
  }
}

/** Passes bytes and ends in both directions, and a reset of either side to the other. */
function join(client: Socket, upstream: Socket): void {
  client.pipe(upstream).pipe(client);
  client.once("close", (failed) => {
    if (failed) resetSocket(upstream);
  });
  upstream.once("close", (failed) => {
    if (failed) resetSocket(client);
  });
}
