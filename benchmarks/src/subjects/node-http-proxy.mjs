// The program of the node-http subject: `node node-http-proxy.mjs BACKEND_PORT` prints the port that it listens on.
// @ts-check

import { Agent, createServer, request } from "node:http";
import { endToEnd } from "./end-to-end.mjs";

const backendPort = Number(process.argv[2]);
const agent = new Agent({ keepAlive: true, maxSockets: 512, maxFreeSockets: 512 });

const server = createServer((incoming, response) => {
  const outgoing = request(
    {
      agent,
      host: "127.0.0.1",
      port: backendPort,
      method: incoming.method,
      path: incoming.url,
      headers: endToEnd(incoming.rawHeaders),
    },
    (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer.rawHeaders));
      answer.pipe(response);
      answer.on("error", () => response.destroy());
    },
  );
  outgoing.on("error", () => {
    if (response.headersSent) response.destroy();
    else response.writeHead(502).end();
  });
  response.on("close", () => {
    if (!response.writableFinished) outgoing.destroy();
  });
  incoming.pipe(outgoing);
});

// WebSockets: the upgrade is passed on unchanged, then bytes flow in both directions.
server.on("upgrade", (incoming, client, early) => {
  const outgoing = request({
    host: "127.0.0.1",
    port: backendPort,
    method: incoming.method,
    path: incoming.url,
    headers: incoming.rawHeaders,
  });
  outgoing.on("upgrade", (answer, service, first) => {
    const fields = [];
    for (let index = 0; index + 1 < answer.rawHeaders.length; index += 2) {
      fields.push(`${answer.rawHeaders[index]}: ${answer.rawHeaders[index + 1]}`);
    }
    client.write(`HTTP/1.1 101 Switching Protocols\r\n${fields.join("\r\n")}\r\n\r\n`);
    client.write(first);
    service.write(early);
    client.pipe(service).pipe(client);
    client.on("error", () => service.destroy());
    service.on("error", () => client.destroy());
  });
  outgoing.on("response", () => client.destroy());
  outgoing.on("error", () => client.destroy());
  outgoing.end();
});

server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  if (typeof address === "object" && address !== null) process.stdout.write(`${address.port}\n`);
});
