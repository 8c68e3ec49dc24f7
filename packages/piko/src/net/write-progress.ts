// Whether a peer reads the bytes queued for it. Checked periodically, so that sending costs nothing extra.

import type { ByteSocket } from "@piko/tunnel";

export class WriteProgress {
  /** Unsent bytes at the last check. `#sinceMs` is the time since when they haven't changed. */
  #unsentBytes = 0;
  #sinceMs = 0;

  /** Milliseconds in which the peer has read none of its queued bytes; 0 if there are none. */
  stuckMs(socket: ByteSocket, nowMs: number): number {
    const { unsentBytes } = socket;
    if (unsentBytes === 0 || unsentBytes !== this.#unsentBytes) {
      this.#unsentBytes = unsentBytes;
      this.#sinceMs = nowMs;
    }
    return nowMs - this.#sinceMs;
  }
}
