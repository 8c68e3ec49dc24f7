// The program of the undici subject: `node undici-proxy.mjs BACKEND_PORT` prints the port that it listens on.
// @ts-check

import { createServer } from "node:http";
import { Pool } from "undici";
import { endToEnd } from "./end-to-end.mjs";

const pool = new Pool(`http://127.0.0.1:${Number(process.argv[2])}`, { connections: 512 });

const server = createServer((incoming, response) => {
  const hasBody =
    incoming.headers["content-length"] !== undefined || incoming.headers["transfer-encoding"] !== undefined;
  pool.stream(
    {
      method: /** @type {import("undici").Dispatcher.HttpMethod} */ (incoming.method ?? "GET"),
      path: incoming.url ?? "/",
      headers: endToEnd(incoming.rawHeaders),
      body: hasBody ? incoming : null,
      responseHeaders: "raw",
    },
    ({ statusCode, headers }) => {
      const raw = /** @type {string[]} */ (/** @type {unknown} */ (headers)).map(String);
      response.writeHead(statusCode, endToEnd(raw));
      return response;
    },
    (error) => {
      if (error === null || error === undefined) return;
      if (response.headersSent) response.destroy();
      else response.writeHead(502).end();
    },
  );
});

server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  if (typeof address === "object" && address !== null) process.stdout.write(`${address.port}\n`);
});
