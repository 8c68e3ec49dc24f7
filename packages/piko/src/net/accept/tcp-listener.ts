// A listening TCP port that hands out raw sockets, paused, for ByteSocket to take over.

import { createServer, type Server, type Socket } from "node:net";
import type { HostPort } from "../../base/address.js";
import { listen } from "./listen.js";

/** Connections that the kernel may hold before they are accepted. */
const BACKLOG = 4_096;

export class TcpListener {
  readonly #name: string;
  readonly #server: Server;

  /** @param name for error texts: "proxy", "upstream" */
  constructor(name: string, onSocket: (socket: Socket) => void) {
    this.#name = name;
    // Paused, because otherwise bytes could be read before there is a reader.
    this.#server = createServer({ pauseOnConnect: true, noDelay: true }, onSocket);
  }

  /** Binds; resolves to the bound address. */
  listen(address: HostPort): Promise<HostPort> {
    return listen(this.#server, this.#name, address, { backlog: BACKLOG });
  }

  /** Stops accepting; accepted sockets stay open. Idempotent. */
  close(): void {
    if (this.#server.listening) this.#server.close();
  }
}
