// The services of endpoint `web` in a measurement: programs with the SDK, and services behind an agent of ours.

import { once } from "node:events";
import { createServer } from "node:net";
import { listen } from "../../packages/client/dist/index.js";
import { KIB } from "./connection.mjs";
import { Program } from "./program.mjs";

/** @typedef {import("./node.mjs").Node} Node */

/** A service that accepts requests and never answers. */
export async function silentService(/** @type {Node} */ node) {
  const listener = await listen("web", { url: `http://${node.upstream}` });
  listener.on("connection", (stream) => {
    stream.on("error", () => {});
    stream.resume();
  });
  return listener;
}

/** A service with an endless response, sent as fast as it is accepted. */
export async function endlessService(/** @type {Node} */ node) {
  const listener = await listen("web", { url: `http://${node.upstream}` });
  const block = Buffer.alloc(64 * KIB, "x");
  listener.on("connection", (stream) => {
    stream.on("error", () => {});
    stream.resume();
    stream.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
    const more = () => {
      while (stream.write(block));
    };
    stream.on("drain", more);
    more();
  });
  return listener;
}

/** An agent that accepts streams and doesn't read them. */
export async function deafService(/** @type {Node} */ node) {
  const listener = await listen("web", { url: `http://${node.upstream}` });
  listener.on("connection", (stream) => {
    stream.on("error", () => {});
    stream.pause();
  });
  return listener;
}

/**
 * An agent of ours, and its service.
 * @param {Node} node
 * @param {"http" | "tcp"} mode
 * @param {(socket: import("node:net").Socket) => void} [onConnection] what the service does; nothing by default
 */
export async function agentOf(node, mode, onConnection = (socket) => void socket.resume()) {
  const service = createServer((socket) => {
    socket.on("error", () => {});
    onConnection(socket);
  });
  service.listen(0, "127.0.0.1");
  await once(service, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (service.address());
  const args = ["agent", mode, "web", `127.0.0.1:${port}`, `--connect.url=http://${node.upstream}`];
  return Program.start([...args, ...(mode === "http" ? ["--timeout=10m"] : [])], "connected");
}

/** A forwarder to endpoint `web`. @param {Node} node */
export function forwarderOf(node) {
  return Program.start(
    ["forward", "tcp", "127.0.0.1:0", "web", `--connect.url=http://${node.proxy}`],
    "listening",
  );
}
