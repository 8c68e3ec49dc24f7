// Decides whether a forwarder accepts one more local connection: their number and the process's open files are limited.
// All ports share it.

import type { Socket } from "node:net";
import { OpenFiles } from "../net/accept/open-files.js";
import type { Logger } from "../observability/logger.js";

export class Admission {
  readonly #maxConnections: number;
  readonly #logger: Logger;
  readonly #files = new OpenFiles();
  #count = 0;
  /** Refused since there was room last. */
  #refused = 0;

  constructor(maxConnections: number, logger: Logger) {
    this.#maxConnections = maxConnections;
    this.#logger = logger;
  }

  /** Whether there is room for it; otherwise it is reset. */
  admit(socket: Socket): boolean {
    const limit = this.#limitOf(socket);
    if (limit !== undefined) {
      // The first refusal is logged at once, their number when it is over.
      if (this.#refused++ === 0) this.#logger.error("limit reached", { limit });
      socket.resetAndDestroy();
      return false;
    }
    if (this.#refused > 0) this.#logger.info("limit no longer reached", { refused: this.#refused });
    this.#refused = 0;
    return true;
  }

  /** Counts a connection that was accepted until it is closed. */
  count(socket: Socket): void {
    // It can be gone already; its event is in the past then.
    if (socket.closed) return;
    this.#count++;
    socket.once("close", () => this.#count--);
  }

  #limitOf(socket: Socket): string | undefined {
    if (this.#count >= this.#maxConnections) return "limits.max_connections";
    return this.#files.isShort(socket) ? "open_files" : undefined;
  }
}
