// Floods one connection with one kind of message, as fast as it is accepted, for a number of seconds, and reads everything that
// comes back. If the server ends the connection, it opens the next one. Prints what was sent as JSON. A process of its own.
// Arguments: the kind's name, proxy port, upstream port, seconds.
// @ts-check

import { once } from "node:events";
import { connect } from "node:net";
import { FLOOD_ENDPOINT, FLOOD_KINDS, TCP_ENDPOINT } from "./flood-kinds.mjs";

const PIECE_BYTES = 1024 * 1024;
const UPGRADE_FIELDS =
  "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
  `Sec-WebSocket-Key: ${Buffer.alloc(16).toString("base64")}\r\n\r\n`;
/** The window of a stream, and what the node reads ahead beyond it. */
const UPLOAD_BYTES = 4 * 1024 * 1024;

const [name = "", proxyPort = "", upstreamPort = "", seconds = "1"] = process.argv.slice(2);
const kind = FLOOD_KINDS.find((each) => each.name === name);
if (kind === undefined) throw new Error(`unknown flood: ${name}`);
const { way, first, bytes } = kind;
const one = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
const piece = Buffer.concat(Array.from({ length: Math.ceil(PIECE_BYTES / one.length) }, () => one));

let sentBytes = 0;
let receivedBytes = 0;
let connections = 0;
let failures = 0;
/** The last response before the connection ended, for the report. */
let lastBytes = "";
const endAt = performance.now() + Number(seconds) * 1000;

/** Opens a client of the flooded endpoint, whose upload fills the stream's window. */
function upload() {
  const client = connect({ port: Number(proxyPort), host: "127.0.0.1" });
  client.on("error", () => {});
  client.write(
    `POST / HTTP/1.1\r\nHost: ${FLOOD_ENDPOINT}.local\r\nContent-Length: 1000000000000000\r\n\r\n`,
  );
  client.write(Buffer.alloc(UPLOAD_BYTES));
  return client;
}

while (performance.now() < endAt) {
  connections++;
  const toUpstream = way === "upstream" || way === "upload";
  const socket = connect({ port: Number(toUpstream ? upstreamPort : proxyPort), host: "127.0.0.1" });
  const gone = new Promise((resolve) => socket.once("close", resolve));
  socket.on("error", () => {});
  await Promise.race([once(socket, "connect"), gone]);
  let client;
  if (way !== "proxy") {
    const path = way === "tcp" ? `/_piko/v1/tcp/${TCP_ENDPOINT}` : `/piko/v1/upstream/${FLOOD_ENDPOINT}`;
    socket.write(`GET ${path} HTTP/1.1\r\n${UPGRADE_FIELDS}`);
    const [head] = await once(socket, "data");
    if (!String(head).startsWith("HTTP/1.1 101"))
      throw new Error(`no upgrade: ${String(head).split("\r\n")[0]}`);
    if (way === "upload") {
      const opened = once(socket, "data");
      client = upload();
      await opened;
    }
  }
  socket.on("data", (/** @type {Buffer} */ chunk) => {
    receivedBytes += chunk.length;
    lastBytes = chunk.subarray(-200).toString("latin1");
  });
  const state = { ended: false };
  void gone.then(() => (state.ended = true));
  if (first !== undefined) socket.write(first);
  while (!state.ended && performance.now() < endAt) {
    sentBytes += piece.length;
    if (!socket.write(piece)) {
      const remaining = endAt - performance.now();
      const timeOut = new Promise((resolve) => setTimeout(resolve, Math.max(remaining, 0)).unref());
      await Promise.race([once(socket, "drain").catch(() => {}), gone, timeOut]);
    }
  }
  if (state.ended) failures++;
  sentBytes -= socket.writableLength;
  socket.destroy();
  client?.destroy();
  await gone;
}
process.stdout.write(JSON.stringify({ sentBytes, receivedBytes, connections, failures, lastBytes }));
process.exit();
