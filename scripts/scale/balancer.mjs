// A TCP load balancer in front of the nodes, which agents with several tunnels need: each connection goes to any node.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/**
 * Starts a balancer; returns the URL to connect to.
 * @param {readonly string[]} urls
 */
export async function startBalancer(urls) {
  const targets = urls.map((url) => new URL(url));
  const server = createServer({ noDelay: true }, (client) => {
    const target = targets[Math.floor(Math.random() * targets.length)];
    const node = connect({ host: target?.hostname, port: Number(target?.port), noDelay: true });
    for (const [socket, other] of [
      [client, node],
      [node, client],
    ]) {
      socket?.on("error", () => other?.destroy());
      if (other !== undefined) socket?.pipe(other);
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}`;
}
