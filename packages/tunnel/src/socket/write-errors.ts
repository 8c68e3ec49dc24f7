// Node destroys a socket when a write fails, and with it what the peer had sent: for example, an answer that arrived before the
// end of its request. The kernel still has these bytes (a reset doesn't empty its receive queue), so a failed write can be
// handled after they are read.

import type { Socket } from "node:net";

type WriteDone = (error?: Error | null) => void;

/**
 * Calls `holds` for each failed write of a socket, and hides the failure from Node if the result is true: the socket continues
 * reading, and later writes never complete, so its owner has to destroy it. Nothing is allocated per write: a stream has one
 * callback for all of its writes.
 */
export function holdWriteErrors(socket: Socket, holds: (error: Error) => boolean): void {
  let done: WriteDone | undefined;
  let judged: WriteDone = () => {};
  const judge = (callback: WriteDone): WriteDone => {
    if (callback !== done) {
      done = callback;
      judged = (error) => {
        if (error === undefined || error === null || !holds(error)) callback(error);
      };
    }
    return judged;
  };
  // The hooks of every Writable; Node's own sockets have both.
  const write = socket._write.bind(socket);
  socket._write = (chunk, encoding, callback) => write(chunk, encoding, judge(callback));
  const writev = socket._writev?.bind(socket);
  if (writev !== undefined) socket._writev = (chunks, callback) => writev(chunks, judge(callback));
}

/** Whether the kernel rejected bytes because the connection is closed. */
export function isRefusal(error: Error): boolean {
  return (error as NodeJS.ErrnoException).syscall === "write";
}

/**
 * Whether the peer had ended before the connection broke: then what was received is complete. In this case Linux reports EPIPE,
 * and ECONNRESET if there was no end. Reporting clears the error, so reading returns an end either way.
 */
export function hadEnded(error: Error): boolean {
  return process.platform === "linux" && (error as NodeJS.ErrnoException).code === "EPIPE";
}
