// Connections that a measurement opens, with bytes written by hand.

import { connect } from "node:net";
import { once } from "node:events";

export const KIB = 1024;
export const HOST = "Host: web.test\r\n";
export const GET = `GET / HTTP/1.1\r\n${HOST}\r\n`;

/** Spreads connections over loopback addresses, so that limits for each address don't apply. */
function addressOf(/** @type {number} */ index) {
  return `127.0.${1 + (index % 200)}.1`;
}

/**
 * Opens a connection and sends bytes on it. What comes back is discarded, or not read at all.
 * @param {string} address
 * @param {number} index
 * @param {string | Buffer} bytes
 * @param {{ deaf?: boolean, await?: RegExp }} [how]
 */
export async function connection(address, index, bytes, how = {}) {
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

const KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
export const upgrade = (/** @type {string} */ endpoint, extra = "") =>
  `GET /piko/v1/upstream/${endpoint} HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n${KEY}${extra}\r\n`;

/** Dials a TCP endpoint. */
export const DIAL = `GET /_piko/v1/tcp/web HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n${KEY}\r\n`;
