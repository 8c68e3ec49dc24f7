// The services behind the agents: a port for each, which tells through which agent a request arrived, and when. They keep idle
// connections for 5 s, Node's default.

import { once } from "node:events";
import { createServer } from "node:http";

const AGENTS = 2;
/** Time between two pieces of a slow response. */
const PIECE_MS = 250;

/** @type {{ id: number, agent: number, atMs: number }[]} */
const arrivals = [];

/**
 * @param {number} agent
 * @returns {import("node:http").RequestListener}
 */
function answerFor(agent) {
  return (request, response) => {
    const [, kind, ...rest] = (request.url ?? "").split("/");
    const id = Number(rest.at(-1));
    arrivals.push({ id, agent, atMs: performance.timeOrigin + performance.now() });
    request.on("error", () => {});
    response.on("error", () => {});
    if (kind === "echo") {
      response.writeHead(200, { "content-length": request.headers["content-length"] });
      request.pipe(response);
    } else if (kind === "slow") {
      let left = (Number(rest[0]) * 1_000) / PIECE_MS;
      response.writeHead(200);
      response.write(".");
      const timer = setInterval(() => {
        if (--left > 0) response.write(".");
        else response.end();
      }, PIECE_MS);
      response.on("close", () => clearInterval(timer));
    } else {
      response.end(`item ${id}`);
    }
  };
}

const servers = Array.from({ length: AGENTS }, (_, agent) => createServer(answerFor(agent)));
const ports = [];
for (const server of servers) {
  server.listen(0);
  await once(server, "listening");
  const address = server.address();
  ports.push(typeof address === "object" ? address?.port : undefined);
}
process.on("message", (sinceMs) => process.send?.(arrivals.filter(({ atMs }) => atMs > Number(sinceMs))));
process.on("disconnect", () => process.exit(0));
process.send?.(ports);
