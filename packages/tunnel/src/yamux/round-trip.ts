// Measures the round trip to the peer, by a ping on request.

import type { Clock } from "../clock.js";
import { TIMED_PING_ID } from "./ping-ids.js";

export class RoundTrip {
  /** Milliseconds, as last timed; undefined before the first answer. */
  ms: number | undefined = undefined;
  readonly #clock: Clock;
  readonly #sendPing: (id: number) => void;
  /** When the ping was sent whose answer isn't here; undefined if none is out. */
  #sentMs: number | undefined = undefined;

  constructor(clock: Clock, sendPing: (id: number) => void) {
    this.#clock = clock;
    this.#sendPing = sendPing;
  }

  /** Times it, unless that is in progress. To be called on a session that hasn't ended. */
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
