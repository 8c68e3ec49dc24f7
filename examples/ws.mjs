// WebSockets behind an endpoint. npm install @piko/client ws
import { createServer } from "node:http";
import { serve } from "@piko/client";
import { WebSocketServer } from "ws";

const server = createServer((request, response) => response.end("a WebSocket, please\n"));
const sockets = new WebSocketServer({ server });
sockets.on("connection", (socket) => {
  socket.on("error", console.error);
  socket.on("message", (data) => socket.send(`you said ${data}`));
});

const listener = await serve("ws", server);
console.log("listening on endpoint ws");

process.once("SIGTERM", async () => {
  // Clients are told that the server goes away, with status 1001.
  await listener.close();
  sockets.close();
});
