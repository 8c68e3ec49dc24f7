// The load for echo cases: `node echo-load.mjs websocket|tcp|calls URL HOST CONNECTIONS BYTES SECONDS [STREAMS]` sends a
// message on each connection, or in each gRPC call, waits for its echo, sends the next, and prints its results as JSON.
// @ts-check

import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { createHistogram } from "node:perf_hooks";
import { WebSocket } from "ws";

const [kind, url = "", host, connections, bytes, seconds, streams = "1"] = process.argv.slice(2);
const text = Buffer.alloc(Number(bytes), "e");
/** The prefix of a gRPC message: a byte for no compression, and the length. */
const prefix = Buffer.alloc(5);
prefix.writeUInt32BE(text.length, 1);
const message = kind === "calls" ? Buffer.concat([prefix, text]) : text;
const latencies = createHistogram();
let messages = 0;
let counting = false;
let ended = false;

/**
 * Plays ping-pong on one connection; resolves once it is open.
 * @param {(onBytes: (bytes: number) => void) => Promise<() => void>} open returns the function that sends the message
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

/** Opens an HTTP/2 connection, and the calls on it. */
async function playCalls() {
  const { origin, pathname } = new URL(url);
  const session = connectHttp2(origin);
  session.on("error", fail);
  session.on("close", () => fail(new Error("a connection was closed")));
  const call = async (/** @type {(bytes: number) => void} */ onBytes) => {
    const stream = session.request(
      {
        ...{ ":method": "POST", ":path": pathname, ":authority": String(host) },
        ...{ "content-type": "application/grpc", te: "trailers" },
      },
      { endStream: false },
    );
    stream.on("response", ({ ":status": status, "grpc-status": code }) => {
      if (status !== 200 || code !== undefined)
        fail(new Error(`answered with ${status}, grpc-status ${code}`));
    });
    stream.on("error", fail);
    stream.on("close", () => fail(new Error("a call has ended")));
    stream.on("data", (/** @type {Buffer} */ piece) => onBytes(piece.length));
    return () => void stream.write(message);
  };
  await Promise.all(Array.from({ length: Number(streams) }, () => play(call)));
}

const start = { tcp: () => play(openTcp), calls: playCalls }[String(kind)] ?? (() => play(openWebSocket));
await Promise.all(Array.from({ length: Number(connections) }, start));
// Both ends run JavaScript, which takes a moment to be compiled.
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
