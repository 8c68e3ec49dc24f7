// The service behind the tunnel of a soak, as a process of its own: every path is a kind of behaviour that scenarios.mjs
// asks for. Sends its port to its parent when it listens.

import { createServer } from "node:http";

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
server.on("upgrade", (_request, socket) => {
  socket.on("error", () => {});
  socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
  socket.pipe(socket);
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.send?.(typeof address === "object" ? address?.port : undefined);
});
process.on("disconnect", () => process.exit(0));
