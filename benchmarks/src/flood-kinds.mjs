// Messages that one connection can send at full speed for next to nothing, as bytes to be repeated endlessly. The sender
// uses the bytes of this table, the report its titles.
// @ts-check

import { h2FloodKinds } from "./flood-kinds-h2.mjs";

/** The endpoint that a flooding agent listens on. */
export const FLOOD_ENDPOINT = "flood";
/** Endpoints of a separate service for the flood, so that effects on the service aren't mistaken for effects on the node. */
export const HTTP_ENDPOINT = "http";
export const TCP_ENDPOINT = "tcp";

const CRLF = "\r\n";
const HOST_FIELD = `Host: ${HTTP_ENDPOINT}.local${CRLF}`;
const ENDLESS_CHUNKED = `POST /endless HTTP/1.1${CRLF}${HOST_FIELD}Transfer-Encoding: chunked${CRLF}${CRLF}`;
/** Through the TCP tunnel, to a service that keeps reading. */
const ENDLESS_BODY = `POST /endless HTTP/1.1${CRLF}Host: x${CRLF}Content-Length: 1000000000000000${CRLF}${CRLF}`;

/** A client's frame, with a mask of 0. @param {number} first @param {Buffer} [payload] below 126 bytes */
function frame(first, payload = Buffer.alloc(0)) {
  return Buffer.concat([Buffer.of(first, 0x80 | payload.length, 0, 0, 0, 0), payload]);
}

/** A yamux header. @param {number} type @param {number} flags @param {number} id @param {number} value */
function header(type, flags, id, value) {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt8(type, 1);
  bytes.writeUInt16BE(flags, 2);
  bytes.writeUInt32BE(id, 4);
  bytes.writeUInt32BE(value, 8);
  return bytes;
}

const BINARY = 0x82;
const PING = 0x89;
const PONG = 0x8a;
/** Many yamux frames in one WebSocket frame, as usual. @param {Buffer[]} frames */
function yamux(...frames) {
  const payload = Buffer.concat(frames);
  const repeated = Buffer.concat(Array.from({ length: Math.floor(60_000 / payload.length) }, () => payload));
  const start = Buffer.from([BINARY, 0xfe, repeated.length >>> 8, repeated.length & 0xff, 0, 0, 0, 0]);
  return Buffer.concat([start, repeated]);
}
/** Each byte in a frame of its own. @param {Buffer} bytes */
function byteByByte(bytes) {
  return Buffer.concat([...bytes].map((byte) => frame(BINARY, Buffer.of(byte))));
}

const TYPE_DATA = 0;
const TYPE_WINDOW_UPDATE = 1;
const TYPE_PING = 2;
const FLAG_SYN = 1;
const FLAG_RST = 8;
/** Id of a stream that doesn't exist. */
const NO_STREAM = 6;

/**
 * @typedef {object} FloodKind
 * @property {string} name
 * @property {"upstream" | "upload" | "tcp" | "proxy"} way a tunnel; a tunnel with a client's upload that waits for window;
 *   a TCP tunnel; a client's connection
 * @property {Buffer | string} [first] sent once
 * @property {Buffer | string} bytes sent repeatedly
 */

/** @type {readonly FloodKind[]} */
export const FLOOD_KINDS = [
  { name: "tunnel: WebSocket ping", way: "upstream", bytes: frame(PING) },
  { name: "tunnel: WebSocket ping of 125 bytes", way: "upstream", bytes: frame(PING, Buffer.alloc(125)) },
  { name: "tunnel: WebSocket pong", way: "upstream", bytes: frame(PONG) },
  { name: "tunnel: empty WebSocket frame", way: "upstream", bytes: frame(BINARY) },
  { name: "tunnel: empty continuation", way: "upstream", first: frame(0x02), bytes: frame(0x00) },
  {
    name: "tunnel: 1-byte WebSocket frame",
    way: "upstream",
    bytes: byteByByte(header(TYPE_WINDOW_UPDATE, 0, NO_STREAM, 1)),
  },
  { name: "tunnel: yamux ping", way: "upstream", bytes: yamux(header(TYPE_PING, FLAG_SYN, 0, 1)) },
  {
    name: "tunnel: yamux window update",
    way: "upstream",
    bytes: yamux(header(TYPE_WINDOW_UPDATE, 0, NO_STREAM, 1)),
  },
  {
    name: "tunnel: yamux window update of 1 byte, upload waiting",
    way: "upload",
    bytes: yamux(header(TYPE_WINDOW_UPDATE, 0, 2, 1)),
  },
  {
    name: "tunnel: empty yamux data frame",
    way: "upstream",
    bytes: yamux(header(TYPE_DATA, 0, NO_STREAM, 0)),
  },
  {
    name: "tunnel: yamux stream opened and reset",
    way: "upstream",
    bytes: yamux(header(TYPE_DATA, FLAG_SYN, 9, 0), header(TYPE_WINDOW_UPDATE, FLAG_RST, 9, 0)),
  },
  { name: "TCP tunnel: WebSocket ping", way: "tcp", bytes: frame(PING) },
  { name: "TCP tunnel: WebSocket pong", way: "tcp", bytes: frame(PONG) },
  {
    name: "TCP tunnel: 1-byte frame",
    way: "tcp",
    first: frame(BINARY, Buffer.from(ENDLESS_BODY)),
    bytes: frame(BINARY, Buffer.of(120)),
  },
  { name: "client: OPTIONS *", way: "proxy", bytes: `OPTIONS * HTTP/1.1${CRLF}${HOST_FIELD}${CRLF}` },
  {
    name: "client: 400 (no endpoint)",
    way: "proxy",
    bytes: `GET / HTTP/1.1${CRLF}Host: x${CRLF}${CRLF}`,
  },
  {
    name: "client: 404 (unknown /_piko path)",
    way: "proxy",
    bytes: `GET /_piko/x HTTP/1.1${CRLF}${HOST_FIELD}${CRLF}`,
  },
  {
    name: "client: 502 (no upstream)",
    way: "proxy",
    bytes: `GET / HTTP/1.1${CRLF}Host: nobody.local${CRLF}${CRLF}`,
  },
  { name: "client: chunk of 1 byte", way: "proxy", first: ENDLESS_CHUNKED, bytes: `1${CRLF}x${CRLF}` },
  {
    name: "client: empty body in chunks",
    way: "proxy",
    bytes: `POST / HTTP/1.1${CRLF}${HOST_FIELD}Transfer-Encoding: chunked${CRLF}${CRLF}0${CRLF}${CRLF}`,
  },
  { name: "client: GET", way: "proxy", bytes: `GET / HTTP/1.1${CRLF}${HOST_FIELD}${CRLF}` },
  ...h2FloodKinds(`${HTTP_ENDPOINT}.local`),
];
