// The services behind the agent: HTTP with WebSockets on port 3000, gRPC on 50051, TCP on 7000.

import { createServer } from "node:http";
import { createServer as createTcp } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { WebSocketServer } from "ws";
import { ECHO } from "./echo.mjs";

const http = createServer((request, response) => {
  if (request.url === "/events") {
    // Only the first event: the client disconnects when it has received it.
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: first\n\n");
  } else if (request.url === "/talk") {
    // Echoes each piece as it arrives.
    response.flushHeaders();
    request.on("data", (piece) => response.write(piece));
    request.on("end", () => response.end());
  } else if (request.url === "/count") {
    let bytes = 0;
    request.on("data", (piece) => {
      bytes += piece.length;
    });
    request.on("end", () => response.end(String(bytes)));
  } else {
    response.end(JSON.stringify(request.headers));
  }
});
const sockets = new WebSocketServer({ server: http });
sockets.on("connection", (socket) => socket.on("message", (message) => socket.send(message)));
http.listen(3000);

createTcp((socket) => socket.pipe(socket)).listen(7000);

const grpc = new Server();
grpc.addService(ECHO, {
  chat: (call) => {
    call.on("data", (message) => call.write(message));
    call.on("end", () => call.end());
  },
});
grpc.bindAsync("0.0.0.0:50051", ServerCredentials.createInsecure(), () => console.log('{"msg":"listening"}'));
