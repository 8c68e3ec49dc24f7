// The `Date` field line for responses that lack one (RFC 9110 section 6.6.1), formatted once a second.

import type { Clock } from "@piko/tunnel";

export class DateLine {
  readonly #clock: Clock;
  #line: Buffer = Buffer.alloc(0);
  #validUntilMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The line `Date: <IMF-fixdate>` with its CRLF. */
  get(): Buffer {
    const now = this.#clock.now();
    if (now >= this.#validUntilMs) {
      const wall = new Date();
      this.#line = Buffer.from(`Date: ${wall.toUTCString()}\r\n`, "latin1");
      this.#validUntilMs = now + 1_000 - wall.getMilliseconds();
    }
    return this.#line;
  }
}
