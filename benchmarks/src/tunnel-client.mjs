// The minimum that keeps a tunnel open: one raw socket with a WebSocket upgrade on piko's upstream port that answers
// WebSocket and yamux pings, and fails if it gets a request. idle-tunnels opens thousands of them.
// @ts-check

import { createHash, randomBytes } from "node:crypto";
import { connect } from "node:net";

const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const OPCODE_CONTINUATION = 0;
const OPCODE_BINARY = 2;
const OPCODE_PING = 9;
const OPCODE_PONG = 10;
const YAMUX_HEADER_BYTES = 12;
const YAMUX_PING = 2;
const YAMUX_GO_AWAY = 3;
const FLAG_SYN = 1;
const FLAG_ACK = 2;
const HANDSHAKE_TIMEOUT_MS = 15_000;
/** An idle tunnel only receives pings; more unread bytes than this mean that it receives something else. */
const MAX_UNREAD_BYTES = 4096;

/** One idle tunnel. */
export class TunnelClient {
  /** Why the tunnel ended, unless {@link close} ended it. @type {Error | undefined} */
  failure;
  #socket;
  /** Bytes of incomplete WebSocket frames. @type {Buffer} */
  #received = Buffer.alloc(0);
  /** Bytes of incomplete yamux frames. @type {Buffer} */
  #frames = Buffer.alloc(0);
  #closed = false;

  /**
   * Opens a tunnel; resolves when the server has accepted it.
   * @param {string} address host:port of the upstream port
   * @param {string} endpoint
   * @returns {Promise<TunnelClient>}
   */
  static open(address, endpoint) {
    return new Promise((resolve, reject) => {
      const client = new TunnelClient(address, endpoint, (error) => {
        if (error === undefined) resolve(client);
        else reject(error);
      });
    });
  }

  /**
   * @param {string} address
   * @param {string} endpoint
   * @param {(error?: Error) => void} onOpen
   */
  constructor(address, endpoint, onOpen) {
    const [host, port] = address.split(":");
    const key = randomBytes(16).toString("base64");
    this.#socket = connect({ host: host ?? "127.0.0.1", port: Number(port), noDelay: true });
    this.#socket.setTimeout(HANDSHAKE_TIMEOUT_MS, () => this.#fail(new Error("no answer to the upgrade")));
    this.#socket.on("connect", () => {
      this.#socket.write(
        `GET /piko/v1/upstream/${endpoint} HTTP/1.1\r\nHost: ${address}\r\nUpgrade: websocket\r\n` +
          `Connection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
      );
    });
    let open = false;
    this.#socket.on("data", (/** @type {Buffer} */ chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      if (!open) {
        const end = this.#received.indexOf("\r\n\r\n");
        if (end === -1) return;
        const head = this.#received.toString("latin1", 0, end);
        this.#received = this.#received.subarray(end + 4);
        if (!isAccepted(head, key)) {
          this.#fail(new Error(`upgrade refused: ${head.split("\r\n")[0]}`));
          return;
        }
        open = true;
        this.#socket.setTimeout(0);
        onOpen();
      }
      this.#readWebSocketFrames();
    });
    this.#socket.on("error", (error) => this.#fail(error));
    this.#socket.on("close", () => {
      if (!this.#closed) this.failure ??= new Error("closed by the server");
      if (!open) onOpen(this.failure ?? new Error("closed"));
    });
  }

  /** Ends the tunnel. */
  close() {
    this.#closed = true;
    this.#socket.destroy();
  }

  #readWebSocketFrames() {
    for (;;) {
      const frame = takeWebSocketFrame(this.#received);
      if (frame === undefined) break;
      this.#received = frame.rest;
      if (frame.opcode === OPCODE_PING) this.#send(OPCODE_PONG, frame.payload);
      else if (frame.opcode === OPCODE_BINARY || frame.opcode === OPCODE_CONTINUATION) {
        this.#frames = Buffer.concat([this.#frames, frame.payload]);
        this.#readYamuxFrames();
      } else if (frame.opcode !== OPCODE_PONG)
        this.#fail(new Error(`opcode ${frame.opcode} from the server`));
    }
    if (this.#received.length > MAX_UNREAD_BYTES)
      this.#fail(new Error("a frame too large for an idle tunnel"));
  }

  #readYamuxFrames() {
    while (this.#frames.length >= YAMUX_HEADER_BYTES) {
      const header = Buffer.from(this.#frames.subarray(0, YAMUX_HEADER_BYTES));
      this.#frames = this.#frames.subarray(YAMUX_HEADER_BYTES);
      const type = header.readUInt8(1);
      const flags = header.readUInt16BE(2);
      if (type === YAMUX_PING) {
        if ((flags & FLAG_SYN) === 0) continue;
        header.writeUInt16BE(FLAG_ACK, 2);
        this.#send(OPCODE_BINARY, header);
      } else if (type !== YAMUX_GO_AWAY) {
        this.#fail(new Error(`yamux frame of type ${type} on an idle tunnel`));
        return;
      }
    }
  }

  /**
   * @param {number} opcode
   * @param {Buffer} payload at most 125 bytes
   */
  #send(opcode, payload) {
    const mask = randomBytes(4);
    const masked = payload.map((byte, index) => byte ^ /** @type {number} */ (mask[index & 3]));
    this.#socket.write(Buffer.concat([Buffer.of(0x80 | opcode, 0x80 | payload.length), mask, masked]));
  }

  /** @param {Error} error */
  #fail(error) {
    this.failure ??= error;
    this.#socket.destroy();
  }
}

/**
 * @param {string} head
 * @param {string} key
 */
function isAccepted(head, key) {
  const accept = createHash("sha1")
    .update(key + WEBSOCKET_GUID)
    .digest("base64");
  const match = /\r\nsec-websocket-accept:[ \t]*(\S+)/i.exec(head);
  return head.startsWith("HTTP/1.1 101") && match?.[1] === accept;
}

/**
 * The first complete frame of `bytes`; the server's frames are never masked.
 * @param {Buffer} bytes
 */
function takeWebSocketFrame(bytes) {
  if (bytes.length < 2) return undefined;
  const short = bytes.readUInt8(1) & 0x7f;
  const headerBytes = short === 127 ? 10 : short === 126 ? 4 : 2;
  if (bytes.length < headerBytes) return undefined;
  const length =
    short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
  if (bytes.length < headerBytes + length) return undefined;
  return {
    opcode: bytes.readUInt8(0) & 0x0f,
    payload: bytes.subarray(headerBytes, headerBytes + length),
    rest: bytes.subarray(headerBytes + length),
  };
}
