// The service of a soak, in a process of its own: a path for each behavior that scenarios.mjs needs, and a TCP echo. Sends
// both ports to its parent once they are open.

import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { WebSocketServer } from "ws";

const TEN_KIB = Buffer.alloc(10 * 1024, "x");
const MEBIBYTE = Buffer.alloc(1024 * 1024, "y");

/** @type {Record<string, (request: import("node:http").IncomingMessage, response: import("node:http").ServerResponse) => void>} */
const routes = {
  "/small": (_request, response) => response.end("ok"),
  "/10k": (_request, response) => response.end(TEN_KIB),
  "/1m": (_request, response) => response.end(MEBIBYTE),
  "/chunks": (_request, response) => {
    response.write("one");
    setImmediate(() => response.end("two"));
  },
  "/echo": (request, response) => {
    const { "content-length": length } = request.headers;
    response.writeHead(200, length === undefined ? {} : { "content-length": length });
    request.pipe(response);
  },
  "/204": (_request, response) => response.writeHead(204).end(),
  "/304": (_request, response) => response.writeHead(304, { etag: '"a"' }).end(),
  "/hints": (_request, response) => {
    response.writeEarlyHints({ link: "</a.css>; rel=preload" });
    response.end("ok");
  },
  "/events": (_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    let left = 3;
    const timer = setInterval(() => {
      response.write(`data: ${left}\n\n`);
      if (--left > 0) return;
      clearInterval(timer);
      response.end();
    }, 5);
    response.on("close", () => clearInterval(timer));
  },
  "/dies": (_request, response) => {
    response.writeHead(200, { "content-length": 100 });
    response.write("x", () => response.socket?.destroy());
  },
  "/early": (_request, response) => {
    response.writeHead(413, { "content-length": 0, connection: "close" }).end();
  },
};

const server = createServer((request, response) => {
  response.on("error", () => {});
  request.on("error", () => {});
  const route = routes[request.url ?? ""];
  if (route === undefined) response.writeHead(404).end();
  else route(request, response);
});
server.keepAliveTimeout = 60_000;
const webSockets = new WebSocketServer({ noServer: true });
webSockets.on("connection", (webSocket) => {
  webSocket.on("error", () => {});
  webSocket.on("message", (message) => webSocket.send(message));
});
server.on("upgrade", (request, socket, head) => {
  socket.on("error", () => {});
  if (request.url === "/socket") {
    webSockets.handleUpgrade(request, socket, head, (webSocket) => webSockets.emit("connection", webSocket));
    return;
  }
  socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
  socket.pipe(socket);
});
const tcpServer = createTcpServer((socket) => {
  socket.on("error", () => {});
  socket.pipe(socket);
});
const ports = [server, tcpServer].map(async (each) => {
  each.listen(0, "127.0.0.1");
  await once(each, "listening");
  const address = each.address();
  return typeof address === "object" ? address?.port : undefined;
});
const [http, tcp] = await Promise.all(ports);
process.send?.({ http, tcp });
process.on("disconnect", () => process.exit(0));
