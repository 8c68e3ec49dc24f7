// What the backend can't do: reads and discards uploads, and echoes WebSocket messages, TCP data and gRPC messages.
// `node echo-service.mjs` prints its ports for HTTP, TCP and gRPC.
// @ts-check

import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
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
const grpc = createHttp2Server({ settings: { maxConcurrentStreams: 1_000 } });
grpc.on("sessionError", () => {});
grpc.on("stream", (stream) => {
  stream.on("error", () => stream.destroy());
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.on("data", (piece) => stream.write(piece));
  stream.on("end", () => stream.end());
});

server.keepAliveTimeout = 300_000;
const servers = [server, tcp, grpc];
for (const each of servers) {
  each.listen(0, "127.0.0.1");
  await once(each, "listening");
}
const ports = servers.map((each) => {
  const address = each.address();
  return typeof address === "object" && address !== null ? address.port : 0;
});
process.stdout.write(`${ports.join(" ")}\n`);
