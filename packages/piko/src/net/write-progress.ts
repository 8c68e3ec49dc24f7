// Whether a peer takes what waits for it: looked at now and then, so that sending costs nothing more.

import type { ByteSocket } from "@piko/tunnel";

export class WriteProgress {
  /** Unsent bytes when last looked at, and since when they aren't fewer. */
  #unsentBytes = 0;
  #sinceMs = 0;

  /** Milliseconds in which the peer has taken no byte of what waits for it; 0 if nothing waits. */
  stuckMs(socket: ByteSocket, nowMs: number): number {
    const { unsentBytes } = socket;
    if (unsentBytes === 0 || unsentBytes !== this.#unsentBytes) {
      this.#unsentBytes = unsentBytes;
      this.#sinceMs = nowMs;
    }
    return nowMs - this.#sinceMs;
  }
}
