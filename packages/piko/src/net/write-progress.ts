// Whether a peer reads what waits for it: checked now and then, so that sending costs nothing extra.

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
