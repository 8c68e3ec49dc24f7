// The program that the node-http subject runs: `node node-http-proxy.mjs BACKEND_PORT` prints the port that it
// listens on.
// @ts-check

import { Agent, createServer, request } from "node:http";

const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

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

/**
 * @param {readonly string[]} raw names and values in turn
 * @returns {string[]}
 */
function endToEnd(raw) {
  /** @type {string[]} */
  const kept = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = /** @type {string} */ (raw[index]);
    if (!HOP_BY_HOP.has(name.toLowerCase())) kept.push(name, /** @type {string} */ (raw[index + 1]));
  }
  return kept;
}

server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  if (typeof address === "object" && address !== null) process.stdout.write(`${address.port}\n`);
});
