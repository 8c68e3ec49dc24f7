// Decides whether a forwarder accepts another local connection: the number of connections, and of the process's open files,
// is limited. Shared by all ports.

import type { Socket } from "node:net";
import { OpenFiles } from "../net/accept/open-files.js";
import type { Logger } from "../observability/logger.js";

export class Admission {
  readonly #maxConnections: number;
  readonly #logger: Logger;
  readonly #files = new OpenFiles();
  #count = 0;
  /** Connections refused since the limit was reached. */
  #refused = 0;

  constructor(maxConnections: number, logger: Logger) {
    this.#maxConnections = maxConnections;
    this.#logger = logger;
  }

  /** Whether there is room for the connection; otherwise it is reset. */
  admit(socket: Socket): boolean {
    const limit = this.#limitOf(socket);
    if (limit !== undefined) {
      // The first refusal is logged immediately, their number when there is room again.
      if (this.#refused++ === 0) this.#logger.error("limit reached", { limit });
      socket.resetAndDestroy();
      return false;
    }
    if (this.#refused > 0) this.#logger.info("limit no longer reached", { refused: this.#refused });
    this.#refused = 0;
    return true;
  }

  /** Counts an accepted connection until it is closed. */
  count(socket: Socket): void {
    // If the socket is already closed, its `close` event won't come any more.
    if (socket.closed) return;
    this.#count++;
    socket.once("close", () => this.#count--);
  }

  #limitOf(socket: Socket): string | undefined {
    if (this.#count >= this.#maxConnections) return "limits.max_connections";
    return this.#files.isShort(socket) ? "open_files" : undefined;
  }
}
