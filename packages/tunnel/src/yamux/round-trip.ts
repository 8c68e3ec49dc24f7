// Measures the round-trip time to the peer, by a ping on request.

import type { Clock } from "../clock.js";
import { TIMED_PING_ID } from "./ping-ids.js";

export class RoundTrip {
  /** Last measured time in milliseconds; undefined before the first answer. */
  ms: number | undefined = undefined;
  readonly #clock: Clock;
  readonly #sendPing: (id: number) => void;
  /** When the unanswered ping was sent; undefined if none is pending. */
  #sentMs: number | undefined = undefined;

  constructor(clock: Clock, sendPing: (id: number) => void) {
    this.#clock = clock;
    this.#sendPing = sendPing;
  }

  /** Starts a measurement, unless one is in progress. To be called on a session that hasn't ended. */
  time(): void {
    if (this.#sentMs !== undefined) return;
    this.#sentMs = this.#clock.now();
    this.#sendPing(TIMED_PING_ID);
  }

  /** A ping was answered. */
  onPong(id: number): void {
    if (id !== TIMED_PING_ID || this.#sentMs === undefined) return;
    this.ms = this.#clock.now() - this.#sentMs;
    this.#sentMs = undefined;
  }
}
