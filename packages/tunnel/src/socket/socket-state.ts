// What the system knows of a TCP connection, and Node doesn't say: asked of the socket's handle, which has no public calls
// for it (feature-checked; where there is no answer, Node's word counts).

import { readSync } from "node:fs";
import type { Socket } from "node:net";

interface Handle {
  readonly fd?: number;
  getpeername?(into: object): number;
}

const ONE_BYTE = Buffer.alloc(1);

/**
 * Both directions of the connection are over for the system: by a reset, by keep-alive, or because both sides have ended.
 * (The address of its peer is what it loses then; `remoteAddress` remembers it.) Costs one system call, reads nothing.
 */
export function isConnectionOver(socket: Socket): boolean {
  if (socket.connecting) return false;
  const handle = handleOf(socket);
  return (handle?.getpeername?.({}) ?? 0) < 0;
}

/**
 * For `end` events: whether what Node calls an end was a reset. libuv does so when bytes and the reset behind them come in
 * one event (its `POLLHUP` shortcut), so that what is cut would look complete. The error is still there to be read.
 */
export function isResetAtEnd(socket: Socket): boolean {
  if (!isConnectionOver(socket)) return false;
  const fd = handleOf(socket)?.fd ?? -1;
  if (fd < 0) return false;
  try {
    readSync(fd, ONE_BYTE, 0, 1, null);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "EAGAIN";
  }
}

/**
 * Closes with a TCP reset, in a moment if an end is on its way: libuv refuses a reset during a shutdown, and Node leaves the
 * handle open for ever then.
 */
export function resetSocket(socket: Socket): void {
  const shutting = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
  if (shutting && !socket.destroyed) socket.once("finish", () => socket.resetAndDestroy());
  else socket.resetAndDestroy();
}

/** What Node would have said. */
export function resetError(): Error {
  return Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET", syscall: "read" });
}

function handleOf(socket: Socket): Handle | null | undefined {
  return (socket as unknown as { _handle?: Handle | null })._handle;
}
