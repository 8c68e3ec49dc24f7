// Sockets that aren't read from, because what they bring has nowhere to go. The event loop doesn't watch them, so that a
// reset, or a peer that keep-alive has given up, would be noticed only when reading goes on: perhaps never. They are
// looked at from time to time instead.

import type { Clock, Timer } from "../clock.js";
import { systemClock } from "../system-clock.js";

/** A socket that is paused. */
export interface PausedSocket {
  /** Ends the socket if its connection is gone. */
  checkPeer(): void;
}

/** How often each is looked at. With forwarder, node, hop and agent on the way, a reset is through in 20 s at the latest. */
export const CHECK_INTERVAL_MS = 5_000;

/** One list per process. A look is one system call, and reads nothing: what waits keeps waiting. */
export class PausedSockets {
  readonly #clock: Clock;
  readonly #sockets = new Set<PausedSocket>();
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(socket: PausedSocket): void {
    this.#sockets.add(socket);
    if (this.#timer === undefined) this.#wait();
  }

  delete(socket: PausedSocket): void {
    this.#sockets.delete(socket);
  }

  #wait(): void {
    this.#timer = this.#clock.setTimeout(() => this.#check(), CHECK_INTERVAL_MS);
    // It is the sockets that a program lives for.
    (this.#timer as Partial<NodeJS.Timeout>).unref?.();
  }

  #check(): void {
    this.#timer = undefined;
    for (const socket of this.#sockets) socket.checkPeer();
    if (this.#sockets.size > 0 && this.#timer === undefined) this.#wait();
  }
}

export const pausedSockets: PausedSockets = new PausedSockets(systemClock);
