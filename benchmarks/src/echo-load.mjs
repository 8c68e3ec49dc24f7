// The load of echo cases: `node echo-load.mjs websocket|tcp URL HOST CONNECTIONS BYTES SECONDS` sends a message on each
// connection, waits for its echo, sends the next, and prints what it saw as JSON.
// @ts-check

import { connect } from "node:net";
import { createHistogram } from "node:perf_hooks";
import { WebSocket } from "ws";

const [kind, url = "", host, connections, bytes, seconds] = process.argv.slice(2);
const message = Buffer.alloc(Number(bytes), "e");
const latencies = createHistogram();
let messages = 0;
let counting = false;
let ended = false;

/**
 * Plays ping-pong on one connection; resolves when it stands.
 * @param {(onBytes: (bytes: number) => void) => Promise<() => void>} open gives the function that sends the message
 */
async function play(open) {
  let waiting = message.length;
  let sentAt = 0;
  const send = await open((count) => {
    waiting -= count;
    if (waiting > 0 || ended) return;
    if (counting) {
      messages += 1;
      latencies.record(Math.max(1, Math.round((performance.now() - sentAt) * 1000)));
    }
    begin();
  });
  const begin = () => {
    waiting = message.length;
    sentAt = performance.now();
    send();
  };
  begin();
}

/** @param {Error} error */
function fail(error) {
  if (ended) return;
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}

/** @param {(bytes: number) => void} onBytes @returns {Promise<() => void>} */
function openWebSocket(onBytes) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url.replace("http:", "ws:"), {
      headers: { host: String(host) },
      perMessageDeflate: false,
    });
    socket.on("error", fail);
    socket.on("close", () => fail(new Error("a WebSocket was closed")));
    socket.on("message", (/** @type {Buffer} */ data) => onBytes(data.length));
    socket.on("open", () => resolve(() => socket.send(message)));
  });
}

/** @param {(bytes: number) => void} onBytes @returns {Promise<() => void>} */
function openTcp(onBytes) {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    socket.on("error", fail);
    socket.on("close", () => fail(new Error("a connection was closed")));
    socket.on("data", (piece) => onBytes(piece.length));
    socket.on("connect", () => resolve(() => socket.write(message)));
  });
}

await Promise.all(
  Array.from({ length: Number(connections) }, () => play(kind === "tcp" ? openTcp : openWebSocket)),
);
// Both ends run JavaScript: they need a moment until they are compiled.
setTimeout(() => {
  counting = true;
  const startedAt = performance.now();
  setTimeout(() => {
    ended = true;
    const durationUs = Math.round((performance.now() - startedAt) * 1000);
    const [p50Us, p99Us] = [latencies.percentile(50), latencies.percentile(99)];
    process.stdout.write(`${JSON.stringify({ requests: messages, durationUs, p50Us, p99Us })}\n`);
    process.exit(0);
  }, Number(seconds) * 1000);
}, 300);
