// A listening TCP port that hands out raw sockets, paused, for ByteSocket to take over.

import { createServer, type Server, type Socket } from "node:net";
import type { HostPort } from "../config/address.js";
import { formatHostPort } from "../config/address.js";

/** Connections that the kernel may hold before they are accepted. */
const BACKLOG = 4_096;

export class TcpListener {
  readonly #name: string;
  readonly #server: Server;

  /** `name` is for error texts: "proxy", "upstream". */
  constructor(name: string, onSocket: (socket: Socket) => void) {
    this.#name = name;
    // Paused, or bytes could be read before their reader is in place.
    this.#server = createServer({ pauseOnConnect: true, noDelay: true }, onSocket);
  }

  /** Binds; resolves to the address that the port has. An empty host is all interfaces, IPv6 and IPv4. */
  async listen(address: HostPort): Promise<HostPort> {
    const server = this.#server;
    await new Promise<void>((resolve, reject) => {
      const fail = (error: NodeJS.ErrnoException): void => {
        const reason = error.code === "EADDRINUSE" ? "address already in use" : error.message;
        reject(new Error(`${this.#name} listen: ${formatHostPort(address)}: ${reason}`, { cause: error }));
      };
      server.once("error", fail);
      const host = address.host === "" ? {} : { host: address.host };
      server.listen({ port: address.port, ...host, backlog: BACKLOG }, () => {
        server.off("error", fail);
        resolve();
      });
    });
    const bound = server.address();
    if (bound === null || typeof bound === "string") throw new Error(`${this.#name} listen: no address`);
    return { host: bound.address, port: bound.port };
  }

  /** Stops accepting; accepted sockets stay. Idempotent. */
  close(): void {
    if (this.#server.listening) this.#server.close();
  }
}
