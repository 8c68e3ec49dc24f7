// Sockets that the event loop doesn't watch: those that aren't read, because their bytes have nowhere to go, and those whose
// peer has ended. A reset, or a peer that keep-alive has given up, would be noticed only when reading continues or a write
// fails: perhaps never. So these sockets are checked periodically.

import type { Clock, Timer } from "../clock.js";
import { systemClock } from "../system-clock.js";

/** A socket that is paused, or whose peer has ended. */
export interface UnwatchedSocket {
  /** Closes the socket if its connection was cut. */
  checkPeer(): void;
}

/** Interval between checks. With forwarder, two nodes and agent on the path, a reset passes all of them within 20 s. */
export const CHECK_INTERVAL_MS = 5_000;

/** One list per process. A check is one system call and reads nothing: unread bytes stay where they are. */
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
    // The sockets keep the process alive; this timer must not.
    (this.#timer as Partial<NodeJS.Timeout>).unref?.();
  }

  #check(): void {
    this.#timer = undefined;
    for (const socket of this.#sockets) socket.checkPeer();
    if (this.#sockets.size > 0 && this.#timer === undefined) this.#wait();
  }
}

export const unwatchedSockets: UnwatchedSockets = new UnwatchedSockets(systemClock);
