// Detects a peer that has vanished: sends pings, and checks a while later whether anything has arrived since. An answer may be
// queued after bulk data, so any byte counts as a sign of life.

import type { Clock, Timer } from "../clock.js";

/** What the session does as time passes. */
export interface KeepAliveHandler {
  sendPing(id: number): void;
  /** Nothing arrived within the timeout. */
  onSilence(): void;
  /** Called before each ping, and again after the timeout. */
  onTick(): void;
}

export class KeepAlive {
  /** Whether anything has arrived; set by the reader. */
  received: boolean;
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #timeoutMs: number;
  readonly #handler: KeepAliveHandler;
  #timer: Timer | undefined;
  #pingId: number;
  /** Whether a ping was sent and its timeout runs. */
  #waiting: boolean;
  #stopped: boolean;

  /** Starts at once; the first ping is sent after one interval. */
  constructor(clock: Clock, intervalMs: number, timeoutMs: number, handler: KeepAliveHandler) {
    this.received = false;
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#timeoutMs = timeoutMs;
    this.#handler = handler;
    this.#pingId = 0;
    this.#waiting = false;
    this.#stopped = false;
    this.#timer = undefined;
    this.#schedule(intervalMs);
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #schedule(delayMs: number): void {
    this.#timer = this.#clock.setTimeout(() => this.#tick(), delayMs);
  }

  #tick(): void {
    if (this.#waiting && !this.received) {
      this.#handler.onSilence();
      return;
    }
    this.#handler.onTick();
    if (this.#stopped) return;
    this.#waiting = !this.#waiting;
    if (!this.#waiting) {
      this.#schedule(this.#intervalMs - this.#timeoutMs);
      return;
    }
    this.received = false;
    this.#handler.sendPing(this.#pingId);
    this.#pingId = (this.#pingId + 1) >>> 0;
    this.#schedule(this.#timeoutMs);
  }
}
