// Node destroys a socket when a write fails, and with it what the peer had sent: an answer before the end of its request,
// say. The kernel still has that (a reset doesn't empty its receive queue), so a failed write can wait until it is read.

import type { Socket } from "node:net";

type WriteDone = (error?: Error | null) => void;

/**
 * Asks `holds` about each failed write of a socket, and hides it from Node where the answer is true: the socket goes on
 * reading, and whatever is written to it later waits in vain, so its owner has to destroy it. Nothing is allocated per
 * write: a stream has one callback for all of its writes.
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
  // The hooks that every Writable has; Node's own sockets have both.
  const write = socket._write.bind(socket);
  socket._write = (chunk, encoding, callback) => write(chunk, encoding, judge(callback));
  const writev = socket._writev?.bind(socket);
  if (writev !== undefined) socket._writev = (chunks, callback) => writev(chunks, judge(callback));
}

/** The kernel has refused to take bytes, because the connection is over. */
export function isRefusal(error: Error): boolean {
  return (error as NodeJS.ErrnoException).syscall === "write";
}

/**
 * The peer had ended before the connection broke: what was received is whole. Linux says EPIPE then, and ECONNRESET where
 * there was no end; it takes the error back with that, so that reading gives an end either way.
 */
export function hadEnded(error: Error): boolean {
  return process.platform === "linux" && (error as NodeJS.ErrnoException).code === "EPIPE";
}
