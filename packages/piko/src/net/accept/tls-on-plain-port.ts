// Detects TLS on a port without it. The client can't read the response, and only sees that the handshake fails, so the log
// explains it.

import type { Clock } from "@piko/tunnel";
import type { Logger } from "../../observability/logger.js";

/** First byte of a TLS record that holds a ClientHello (RFC 8446 section 5.1: handshake, 22). No HTTP begins with it. */
export const HANDSHAKE_RECORD = 0x16;

/** How often it is logged; a misconfigured agent keeps trying. */
const INTERVAL_MS = 60_000;

export class TlsOnPlainPort {
  readonly #logger: Logger;
  readonly #clock: Clock;
  #silentUntilMs = Number.NEGATIVE_INFINITY;
  /** Connections since the last log line. */
  #unlogged = 0;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** Notes that a connection from this address began with a handshake. */
  note(address: string): void {
    const now = this.#clock.now();
    if (now < this.#silentUntilMs) {
      this.#unlogged++;
      return;
    }
    this.#silentUntilMs = now + INTERVAL_MS;
    const unlogged = this.#unlogged === 0 ? {} : { unsaid: this.#unlogged };
    this.#unlogged = 0;
    this.#logger.warn("client uses tls, but this port doesn't", { "client-ip": address, ...unlogged });
  }
}
