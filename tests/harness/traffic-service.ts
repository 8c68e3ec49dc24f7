// The sample service with WebSockets that send back what they get: what all kinds of traffic may go to.

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";
import { answer } from "./service.js";
import type { Stage } from "./stage.js";

/** Starts one; its address. */
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
