// Everything that a stranger can make a program hold, one kind for each load. `open` opens one thing and returns once the
// node has what was sent to it.

import { once } from "node:events";
import { listen } from "../../packages/client/dist/index.js";
import { connection, DIAL, GET, HOST, KIB, upgrade } from "./connection.mjs";
import { announcer } from "./gossip-peer.mjs";
import { agentOf, deafService, endlessService, forwarderOf, silentService } from "./services.mjs";

const CONCURRENCY = 50;

/**
 * @typedef {import("./node.mjs").Node} Node
 * @typedef {import("./program.mjs").Program} Program
 * @typedef {object} Load
 * @property {string} name
 * @property {string} limit the limit on their number or size
 * @property {number} count
 * @property {readonly string[]} [flags]
 * @property {boolean} [uncounted] no metric counts them, or they end by themselves
 * @property {string} [budget] the node's metric of the bytes that it counts; by default those buffered by its proxy port
 * @property {(node: Node) => Promise<unknown>} [prepare]
 * @property {(node: Node) => Promise<Program>} [program] the program whose memory is measured; the node by default
 * @property {(node: Node, index: number, program: Program) => unknown} open
 */

/** Settings of a node that waits for its peers as long as the measurement takes. */
export const PATIENT = [
  "--proxy.http.read-header-timeout=10m",
  "--proxy.http.read-timeout=10m",
  "--proxy.http.write-timeout=10m",
  "--proxy.timeout=10m",
  "--upstream.limits.read-header-timeout=10m",
];
const CHUNKED = `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`;
/** Yamux pings, each in a WebSocket frame with a mask of 0. */
const PINGS = Buffer.concat(
  Array.from({ length: 5_000 }, () =>
    Buffer.from([0x82, 0x8c, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]),
  ),
);

/** The beginning of a join request: type, version, and the part of a 16 MB string that is sent at once. */
const PARTIAL_JOIN = Buffer.concat([
  Buffer.from([3, 0, 0xdb, 0, 0xff, 0xff, 0xff]),
  Buffer.alloc(240 * KIB, "x"),
]);

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
      const listener = await listen("web", { url: `http://${node.upstream}` });
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
    name: "60 KiB pipelined after a request",
    limit: "proxy.limits.max_buffered_bytes_per_connection",
    count: 1_000,
    prepare: silentService,
    open: (node, i) => connection(node.proxy, i, GET + GET.repeat(Math.floor((60 * KIB) / GET.length))),
  },
  {
    name: "5 MB pipelined after a request",
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
    name: "tunnel of a listener that has others elsewhere, idle",
    limit: "upstream.limits.max_tunnels",
    count: 8_000,
    open: (node, i) => {
      const instance = `X-Piko-Instance: ${`${i}`.padStart(22, "x")}\r\n`;
      return connection(node.upstream, i, upgrade(`e${i}`, instance), { await: /\r\n\r\n/ });
    },
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
  {
    name: "endpoint that another node announces",
    limit: "cluster.gossip.max_state_bytes",
    count: 40_000,
    uncounted: true,
    budget: "piko_gossip_state_bytes",
    open: async (node, i) => (await announcer(node)).upsertLocal(`endpoint:customer-service-${i}`, "1"),
  },
  {
    name: "gossip request of 240 KiB that isn't whole",
    limit: "64 MiB of requests that are not whole",
    count: 200,
    uncounted: true,
    open: (node, i) => connection(node.gossip, i, PARTIAL_JOIN),
  },
  {
    name: "in an agent: request whose service says nothing",
    limit: "streams of a tunnel",
    count: 2_000,
    program: (node) => agentOf(node, "http"),
    open: (node, i) => connection(node.proxy, i, GET),
  },
  {
    name: "in an agent: response head of 60 KiB that isn't whole",
    limit: "64 MiB of all that come in parts",
    count: 500,
    program: (node) =>
      agentOf(node, "http", (socket) => {
        socket.once("data", () => socket.write(`HTTP/1.1 200 OK\r\nA: ${"x".repeat(60 * KIB)}`));
      }),
    open: (node, i) => connection(node.proxy, i, GET),
  },
  {
    name: "in an agent: response that its client doesn't read",
    limit: "streams of a tunnel",
    count: 200,
    program: (node) =>
      agentOf(node, "http", (socket) => {
        const block = Buffer.alloc(64 * KIB, "x");
        const more = () => {
          while (socket.write(block));
        };
        socket.on("drain", more);
        socket.once("data", () => {
          socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
          more();
        });
      }),
    open: (node, i) => connection(node.proxy, i, GET, { deaf: true }),
  },
  {
    name: "in an agent: TCP connection, idle",
    limit: "streams of a tunnel",
    count: 2_000,
    program: (node) => agentOf(node, "tcp"),
    open: (node, i) => connection(node.proxy, i, DIAL, { await: /101/ }),
  },
  {
    name: "in a forwarder: connection, idle",
    limit: "limits.max_connections",
    count: 2_000,
    prepare: silentService,
    program: forwarderOf,
    open: (_, i, { record }) => connection(record.addr ?? "", i, ""),
  },
  {
    name: "in a forwarder: upload of 1 MB that nobody takes",
    limit: "limits.max_connections",
    count: 500,
    prepare: deafService,
    program: forwarderOf,
    open: (_, i, { record }) => {
      void connection(record.addr ?? "", i, "x".repeat(1e6));
    },
  },
];

/** Opens `count` instances of a load, starting with number `from`, some at a time. */
export async function openAll(
  /** @type {Load} */ load,
  /** @type {Node} */ node,
  /** @type {Program} */ program,
  /** @type {number} */ from,
  /** @type {number} */ count,
) {
  let next = from;
  const work = async () => {
    while (next < from + count) await load.open(node, next++, program);
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENCY, count) }, work));
}
