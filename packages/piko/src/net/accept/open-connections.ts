// The connections of a port with few users: probes, scrapers, people. If there are too many, the oldest idle one is closed, so
// that many silent connections never block a probe.

import type { Socket } from "node:net";

export class OpenConnections {
  readonly #max: number;
  readonly #isBusy: (socket: Socket) => boolean;
  readonly #onLimit: (full: boolean) => void;
  /** In order of arrival. */
  readonly #sockets = new Set<Socket>();

  /**
   * `isBusy` tells whether a request is in progress; such connections are closed last. `onLimit` is called for each one closed.
   */
  constructor(max: number, isBusy: (socket: Socket) => boolean, onLimit: (full: boolean) => void) {
    this.#max = max;
    this.#isBusy = isBusy;
    this.#onLimit = onLimit;
  }

  get count(): number {
    return this.#sockets.size;
  }

  [Symbol.iterator](): IterableIterator<Socket> {
    return this.#sockets.values();
  }

  /** Adds a connection until it is closed. `full`: there is no room, whatever the number. */
  add(socket: Socket, full = false): void {
    if (full || this.#sockets.size >= this.#max) this.#makeRoom(full);
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
  }

  #makeRoom(full: boolean): void {
    const [oldest] = this.#sockets;
    let cut = oldest;
    for (const socket of this.#sockets) {
      if (this.#isBusy(socket)) continue;
      cut = socket;
      break;
    }
    if (cut === undefined) return;
    this.#onLimit(full);
    this.#sockets.delete(cut);
    cut.destroy();
  }
}
