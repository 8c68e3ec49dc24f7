// The ids of a session's streams: odd ones are the client's, even ones the server's, and each is used once.

import { LAST_STREAM_ID } from "./frame.js";

/** From this id on a session waits for a good moment to be replaced: at 50,000 streams a second ids last twelve hours. */
const RETIRE_FROM = 0xe000_0000;

export class StreamIds {
  readonly #isClient: boolean;
  #next: number;

  constructor(role: "client" | "server", first: number) {
    this.#isClient = role === "client";
    this.#next = first;
  }

  /** Whether the peer opens streams with such an id. */
  isPeerId(id: number): boolean {
    return ((id & 1) === 1) !== this.#isClient && id !== 0;
  }

  /** Whether there are ids for more than `count` further streams. */
  hasMoreThan(count: number): boolean {
    return this.#next + 2 * count <= LAST_STREAM_ID;
  }

  /** Whether so few are left that the session should be replaced. */
  get scarce(): boolean {
    return this.#next >= RETIRE_FROM;
  }

  take(): number {
    const id = this.#next;
    this.#next += 2;
    return id;
  }
}
