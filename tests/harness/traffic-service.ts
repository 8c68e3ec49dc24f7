// The sample service with WebSockets that echo messages: it can answer all kinds of traffic.

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";
import { answer } from "./service.js";
import type { Stage } from "./stage.js";

/** Starts the service; returns its address. */
export async function startTrafficService(stage: Stage): Promise<string> {
  const server = createServer((request, response) => void answer(request, response));
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) =>
    socket.on("message", (message, binary) => socket.send(message, { binary })),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stage.defer(async () => {
    for (const socket of sockets.clients) socket.terminate();
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
