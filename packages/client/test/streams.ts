// Reading connections in tests without `for await`, which destroys a Duplex when its readable side ends.

import type { Duplex } from "node:stream";

/** All bytes until the end; rejects if the connection doesn't end normally. */
export function collect(socket: Duplex): Promise<Buffer> {
  const pieces: Buffer[] = [];
  return new Promise((resolve, reject) => {
    socket.on("data", (piece: Buffer) => pieces.push(piece));
    socket.once("end", () => resolve(Buffer.concat(pieces)));
    socket.once("close", () => reject(socket.errored ?? new Error("closed before its end")));
  });
}

/** The error with which a connection was destroyed, once it is. Someone else has to read the connection. */
export function destroyed(socket: Duplex): Promise<Error | null> {
  return new Promise((resolve) => {
    socket.once("close", () => resolve(socket.errored));
  });
}
