// Sockets that the event loop doesn't watch: those that aren't read from, because what they bring has nowhere to go, and
// those whose peer has ended. A reset, or a peer that keep-alive has given up, would be noticed only when reading goes on or
// a write fails: perhaps never. They are looked at from time to time instead.

import type { Clock, Timer } from "../clock.js";
import { systemClock } from "../system-clock.js";

/** A socket that is paused, or whose peer has ended. */
export interface UnwatchedSocket {
  /** Ends the socket if its connection was cut. */
  checkPeer(): void;
}

/** How often each is looked at. With forwarder, two nodes and agent on the way, a reset is through in 20 s at the latest. */
export const CHECK_INTERVAL_MS = 5_000;

/** One list per process. A look is one system call, and reads nothing: what waits keeps waiting. */
export class UnwatchedSockets {
  readonly #clock: Clock;
  readonly #sockets = new Set<UnwatchedSocket>();
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(socket: UnwatchedSocket): void {
    this.#sockets.add(socket);
    if (this.#timer === undefined) this.#wait();
  }

  delete(socket: UnwatchedSocket): void {
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

export const unwatchedSockets: UnwatchedSockets = new UnwatchedSockets(systemClock);
