// Reading connections in tests without `for await`, which destroys a Duplex when its readable side ends.

import type { Duplex } from "node:stream";

/** All bytes until the end; rejects if there is none. */
export function collect(socket: Duplex): Promise<Buffer> {
  const pieces: Buffer[] = [];
  return new Promise((resolve, reject) => {
    socket.on("data", (piece: Buffer) => pieces.push(piece));
    socket.once("end", () => resolve(Buffer.concat(pieces)));
    socket.once("close", () => reject(socket.errored ?? new Error("closed before its end")));
  });
}

/** What a connection was destroyed with, once it is. It must be read by somebody else. */
export function destroyed(socket: Duplex): Promise<Error | null> {
  return new Promise((resolve) => {
    socket.once("close", () => resolve(socket.errored));
  });
}
