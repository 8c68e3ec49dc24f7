// Socket.IO behind an endpoint. npm install @piko/client socket.io
import { createServer } from "node:http";
import { serve } from "@piko/client";
import { Server } from "socket.io";

const server = createServer((request, response) => response.end("Socket.IO, please\n"));
const io = new Server(server);
io.on("connection", (socket) => {
  socket.on("say", (words, answer) => answer(`you said ${words}`));
});

const listener = await serve("socket-io", server);
console.log("listening on endpoint socket-io");

process.once("SIGTERM", async () => {
  // At once: long polls are requests under way, which only Socket.IO can end.
  await Promise.all([listener.close(), io.close()]);
});
