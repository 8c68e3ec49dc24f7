// What a stranger can have a node hold, one kind a load. Each opens so many of one thing and returns when the node has what
// was sent to it.

import { connect } from "node:net";
import { once } from "node:events";
import { listen } from "../../packages/client/dist/index.js";

const KIB = 1024;
const AT_ONCE = 50;
const HOST = "Host: web.test\r\n";

/**
 * @typedef {import("./node.mjs").Node} Node
 * @typedef {object} Load
 * @property {string} name
 * @property {string} limit what bounds how many there are, or how much each may be
 * @property {number} count
 * @property {readonly string[]} [flags]
 * @property {boolean} [uncounted] no metric says how many there are, or they end
 * @property {(node: Node, index: number) => Promise<import("node:net").Socket | undefined>} open
 * @property {(node: Node) => Promise<unknown>} [prepare]
 */

/** Loopback has many addresses: a share of an address is no limit here. */
function addressOf(/** @type {number} */ index) {
  return `127.0.${1 + (index % 200)}.1`;
}

/**
 * A connection that has sent its bytes; what comes back is thrown away, or not read at all.
 * @param {string} address
 * @param {number} index
 * @param {string | Buffer} bytes
 * @param {{ deaf?: boolean, await?: RegExp }} [how]
 */
async function connection(address, index, bytes, how = {}) {
  const [host = "", port = ""] = address.split(":");
  const socket = connect({ host, port: Number(port), localAddress: addressOf(index) });
  socket.on("error", () => {});
  socket.setNoDelay(true);
  await once(socket, "connect");
  if (bytes.length > 0) await new Promise((resolve) => socket.write(bytes, resolve));
  if (how.await !== undefined) {
    let text = "";
    while (!how.await.test(text)) text += (await once(socket, "data")).toString();
  }
  if (how.deaf === true) socket.pause();
  else socket.resume();
  return socket;
}

const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const upgrade = (/** @type {string} */ endpoint, extra = "") =>
  `GET /piko/v1/upstream/${endpoint} HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n${key}${extra}\r\n`;

/** A service that takes requests and says nothing. */
async function silentService(/** @type {Node} */ node) {
  const listener = await listen("web", { url: `http://${node.upstream}`, tunnels: 1 });
  listener.on("connection", (stream) => {
    stream.on("error", () => {});
    stream.resume();
  });
  return listener;
}

/** A service that answers without end, as fast as it is taken. */
async function endlessService(/** @type {Node} */ node) {
  const listener = await listen("web", { url: `http://${node.upstream}`, tunnels: 1 });
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

/** An agent that accepts streams and reads nothing of them. */
async function deafService(/** @type {Node} */ node) {
  const listener = await listen("web", { url: `http://${node.upstream}`, tunnels: 1 });
  listener.on("connection", (stream) => {
    stream.on("error", () => {});
    stream.pause();
  });
  return listener;
}

/** A node that waits for its peers as long as the measurement takes. */
export const PATIENT = [
  "--proxy.http.read-header-timeout=10m",
  "--proxy.http.read-timeout=10m",
  "--proxy.http.write-timeout=10m",
  "--proxy.timeout=10m",
  "--upstream.limits.read-header-timeout=10m",
];
const GET = `GET / HTTP/1.1\r\n${HOST}\r\n`;
const CHUNKED = `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`;
/** A yamux ping in a WebSocket frame under the mask key 0. */
const PINGS = Buffer.concat(
  Array.from({ length: 5_000 }, () =>
    Buffer.from([0x82, 0x8c, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]),
  ),
);

/** @type {readonly Load[]} */
export const LOADS = [
  {
    name: "client connection that has sent nothing",
    limit: "proxy.limits.max_connections",
    count: 8_000,
    open: (node, i) => connection(node.proxy, i, ""),
  },
  {
    name: "client connection between two requests",
    limit: "proxy.limits.max_connections",
    count: 4_000,
    open: (node, i) => connection(node.proxy, i, `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, { await: /\r\n\r\n/ }),
  },
  {
    name: "request whose service says nothing",
    limit: "proxy.limits.max_requests_per_endpoint",
    count: 2_000,
    prepare: silentService,
    open: (node, i) => connection(node.proxy, i, GET),
  },
  {
    name: "upgraded connection, idle",
    limit: "proxy.limits.max_requests_per_endpoint",
    count: 2_000,
    prepare: async (node) => {
      const listener = await listen("web", { url: `http://${node.upstream}`, tunnels: 1 });
      listener.on("connection", (stream) => {
        stream.on("error", () => {});
        stream.resume();
        stream.write("HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
      });
      return listener;
    },
    open: (node, i) =>
      connection(node.proxy, i, `GET / HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: x\r\n\r\n`, {
        await: /101/,
      }),
  },
  {
    name: "request that waits for an endpoint, with 62 KiB of body",
    limit: "proxy.limits.max_waiting_requests",
    count: 1_000,
    flags: ["--proxy.reconnect-wait=10m"],
    prepare: async (node) => (await silentService(node)).close({ graceMs: 0 }),
    open: (node, i) =>
      connection(
        node.proxy,
        i,
        `POST / HTTP/1.1\r\n${HOST}Content-Length: 100000\r\n\r\n${"x".repeat(62 * KIB)}`,
      ),
  },
  {
    name: "head of 60 KiB that isn't whole",
    limit: "proxy.limits.max_buffered_bytes",
    count: 1_000,
    open: (node, i) => connection(node.proxy, i, `GET / HTTP/1.1\r\n${HOST}A: ${"x".repeat(60 * KIB)}`),
  },
  {
    name: "trailer section that isn't whole, 1 byte",
    limit: "proxy.limits.max_buffered_bytes",
    count: 2_000,
    prepare: silentService,
    open: (node, i) => connection(node.proxy, i, `${CHUNKED}0\r\nA`),
  },
  {
    name: "60 KiB sent ahead behind a request",
    limit: "proxy.limits.max_buffered_bytes_per_connection",
    count: 1_000,
    prepare: silentService,
    open: (node, i) => connection(node.proxy, i, GET + GET.repeat(Math.floor((60 * KIB) / GET.length))),
  },
  {
    name: "5 MB sent ahead behind a request",
    limit: "proxy.limits.max_buffered_bytes_per_connection",
    count: 500,
    prepare: silentService,
    open: (node, i) => {
      void connection(node.proxy, i, GET + GET.repeat(Math.floor(5e6 / GET.length)));
      return connection(node.proxy, i, "");
    },
  },
  {
    name: "upload of 1 MB that its service doesn't take",
    limit: "proxy.limits.max_buffered_bytes",
    count: 500,
    prepare: deafService,
    open: (node, i) => {
      void connection(
        node.proxy,
        i,
        `POST / HTTP/1.1\r\n${HOST}Content-Length: 100000000\r\n\r\n${"x".repeat(1e6)}`,
      );
      return connection(node.proxy, i, "");
    },
  },
  {
    name: "endless response that its client doesn't read",
    limit: "proxy.limits.max_connections",
    count: 200,
    prepare: endlessService,
    open: (node, i) => connection(node.proxy, i, GET, { deaf: true }),
  },
  {
    name: "tunnel, idle",
    limit: "upstream.limits.max_tunnels",
    count: 8_000,
    open: (node, i) => connection(node.upstream, i, upgrade(`e${i}`), { await: /\r\n\r\n/ }),
  },
  {
    name: "upgrade request of 60 KiB that isn't whole",
    limit: "upstream.limits.max_pending_connections",
    count: 1_000,
    open: (node, i) => connection(node.upstream, i, upgrade("e", `A: ${"x".repeat(60 * KIB)}`).slice(0, -2)),
  },
  {
    name: "tunnel whose other end asks and doesn't read",
    limit: "answers that a tunnel's other end asks for and doesn't read",
    count: 20,
    uncounted: true,
    open: async (node, i) => {
      const socket = await connection(node.upstream, i, upgrade(`e${i}`), { await: /\r\n\r\n/, deaf: true });
      for (let n = 0; n < 150 && !socket.destroyed; n++) {
        if (!socket.write(PINGS)) await Promise.race([once(socket, "drain"), once(socket, "close")]);
      }
      return socket;
    },
  },
  {
    name: "admin connection in a head of 15 KiB",
    limit: "the admin port",
    count: 900,
    uncounted: true,
    open: (node, i) => connection(node.admin, i, `GET / HTTP/1.1\r\n${HOST}A: ${"x".repeat(15 * KIB)}`),
  },
];

/** Opens `count` of a load from number `from` on, some at a time. */
export async function openAll(
  /** @type {Load} */ load,
  /** @type {Node} */ node,
  /** @type {number} */ from,
  /** @type {number} */ count,
) {
  let next = from;
  const work = async () => {
    while (next < from + count) await load.open(node, next++);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, work));
}
