// TCP keep-alive, which detects peers that have vanished.

import type { Socket } from "node:net";

/** The system counts in seconds, and 0 means its own default of two hours. */
const MIN_MS = 1_000;

/** After this long without received data, probes the peer every second, up to ten times. 0 turns it off. */
export function setKeepAlive(socket: Socket, idleMs: number): void {
  socket.setKeepAlive(idleMs > 0, Math.max(idleMs, MIN_MS));
}
