// What the system knows about a TCP connection but Node doesn't report: read from the socket's handle, which has no public API
// for it (feature-checked; where that fails, Node's state is used).

import { readSync, writeSync } from "node:fs";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";

interface Handle {
  readonly fd?: number;
  getpeername?(into: object): number;
  /** For a TLS handle: the handle of its TCP connection. */
  readonly _parent?: { close(onClosed: () => void): void; reset?(onClosed: () => void): number };
}

const NO_BYTES = Buffer.alloc(0);

const ONE_BYTE = Buffer.alloc(1);

/**
 * Whether both directions of the connection are closed for the system: by a reset, by keep-alive, or because both sides have
 * ended. (Such a connection loses its peer's address; `remoteAddress` is a cached copy.) Costs one system call, reads nothing.
 */
export function isConnectionOver(socket: Socket): boolean {
  if (socket.connecting) return false;
  const handle = handleOf(socket);
  return (handle?.getpeername?.({}) ?? 0) < 0;
}

/**
 * Whether the connection was cut: by a reset, or by keep-alive. After our own FIN a connection is also closed when its peer has
 * ended normally; the last bytes, and the end after them, may still have to be read. Then an empty write distinguishes the two:
 * it fails with EPIPE after a normal end. (A read would show it too, but consume a byte.)
 */
export function isConnectionCut(socket: Socket): boolean {
  if (!isConnectionOver(socket)) return false;
  const fd = handleOf(socket)?.fd ?? -1;
  if (!socket.writableFinished || fd < 0) return true;
  try {
    writeSync(fd, NO_BYTES);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "EPIPE";
  }
}

/**
 * For `end` events: whether what Node reports as an end was a reset. libuv does so if bytes and the reset after them arrive in
 * one event (its `POLLHUP` shortcut), so that a cut message would look complete. The error can still be read.
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
 * Closes with a TCP reset; if an end is in progress, after that: libuv refuses a reset during a shutdown, and then Node would
 * leave the handle open forever.
 */
export function resetSocket(socket: Socket): void {
  const shutting = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
  if (shutting && !socket.destroyed) socket.once("finish", () => resetAtOnce(socket));
  else resetAtOnce(socket);
}

/** Node has no reset for TLS sockets: this closes the underlying TCP connection with one (feature-checked). */
function resetAtOnce(socket: Socket): void {
  if (!(socket instanceof TLSSocket)) {
    socket.resetAndDestroy();
    return;
  }
  const tcp = handleOf(socket)?._parent;
  if (typeof tcp?.reset === "function") {
    const reset = tcp.reset.bind(tcp);
    tcp.close = (onClosed) => void reset(onClosed);
  }
  socket.destroy();
}

/** The same error as Node's. */
export function resetError(): Error {
  return Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET", syscall: "read" });
}

function handleOf(socket: Socket): Handle | null | undefined {
  return (socket as unknown as { _handle?: Handle | null })._handle;
}
