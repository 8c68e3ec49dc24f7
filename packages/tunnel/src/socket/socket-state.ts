// What the system knows of a TCP connection, and Node doesn't say: asked of the socket's handle, which has no public calls
// for it (feature-checked; where there is no answer, Node's word counts).

import { readSync, writeSync } from "node:fs";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";

interface Handle {
  readonly fd?: number;
  getpeername?(into: object): number;
  /** Of a TLS handle: that of its TCP connection. */
  readonly _parent?: { close(onClosed: () => void): void; reset?(onClosed: () => void): number };
}

const NO_BYTES = Buffer.alloc(0);

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
 * The connection was cut: by a reset, or by keep-alive. After our own FIN a connection is over as well when its peer has
 * ended in order; the last bytes, and the end after them, may still have to be read. So the system is asked by a write of
 * nothing, which says EPIPE then. (Reading would say it too, but takes a byte.)
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
  if (shutting && !socket.destroyed) socket.once("finish", () => resetAtOnce(socket));
  else resetAtOnce(socket);
}

/** Node has no reset for TLS sockets: the TCP connection below is closed by one (feature-checked). */
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

/** What Node would have said. */
export function resetError(): Error {
  return Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET", syscall: "read" });
}

function handleOf(socket: Socket): Handle | null | undefined {
  return (socket as unknown as { _handle?: Handle | null })._handle;
}
