// A service on bare sockets, for answers that no HTTP library would give.

import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { Stage } from "./stage.js";

/** A TCP service. */
export interface RawService {
  readonly addr: string;
  readonly sockets: ReadonlySet<Socket>;
  stop(): Promise<void>;
}

/** Starts a TCP service that hands each connection to `handle`. */
export async function startRawService(stage: Stage, handle: (socket: Socket) => void): Promise<RawService> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    handle(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  stage.defer(stop);
  return { addr: `127.0.0.1:${(server.address() as AddressInfo).port}`, sockets, stop };
}

/** A TCP service that answers every request head with these bytes, and ends the connection if `end`. */
export function startCannedService(stage: Stage, answer: string, end = true): Promise<RawService> {
  return startRawService(stage, (socket) => {
    let seen = "";
    socket.on("data", (piece) => {
      seen += piece.toString("latin1");
      if (!seen.includes("\r\n\r\n")) return;
      seen = "";
      socket.write(Buffer.from(answer, "latin1"));
      if (end) socket.end();
    });
    socket.on("end", () => socket.end());
  });
}

/** A TCP service that echoes what it receives, and ends when its peer does. */
export function startEchoService(stage: Stage): Promise<RawService> {
  return startRawService(stage, (socket) => socket.pipe(socket));
}
