// What the backend can't do: swallows uploads, echoes WebSocket messages and TCP bytes. `node echo-service.mjs` prints
// its HTTP port and its TCP port.
// @ts-check

import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { WebSocketServer } from "ws";

const server = createServer((request, response) => {
  let bytes = 0;
  request.on("data", (/** @type {Buffer} */ piece) => (bytes += piece.length));
  request.on("end", () => response.end(String(bytes)));
});
const sockets = new WebSocketServer({ server });
sockets.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
});
const tcp = createTcpServer({ noDelay: true }, (socket) => {
  socket.on("error", () => socket.destroy());
  socket.on("data", (piece) => socket.write(piece));
});

server.keepAliveTimeout = 300_000;
server.listen(0, "127.0.0.1", () => {
  tcp.listen(0, "127.0.0.1", () => {
    const ports = [server, tcp].map((each) => {
      const address = each.address();
      return typeof address === "object" && address !== null ? address.port : 0;
    });
    process.stdout.write(`${ports.join(" ")}\n`);
  });
});
