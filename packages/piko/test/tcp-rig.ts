// A TCP client's WebSocket on a node, connected to a stream of an agent's tunnel, all in memory. What either side receives is
// recorded in words. A client of ours ends with a Close frame and can half-close; a Go client closes both directions with EOF.

import { NodeRig, type NodeRigOptions } from "./node-rig.js";
import type { MemorySocket } from "./memory-socket.js";
import type { MemoryStream } from "./memory-stream.js";

export type Kind = "ours" | "Go";

export interface TcpRigOptions extends NodeRigOptions {
  readonly client?: Kind;
  readonly agent?: Kind;
}

const OPCODE_BINARY = 2;
const OPCODE_CLOSE = 8;
const OPCODES: Readonly<Record<number, string>> = {
  1: "text",
  2: "binary",
  8: "close",
  9: "ping",
  10: "pong",
};

export class TcpRig {
  readonly node: NodeRig;
  readonly #client: Kind;
  /** Whether the node has closed the client's socket; the socket's handler is called at the end of the step. */
  #gone = false;
  #callsSeen = 0;
  #observed = 0;
  #written = 0;

  constructor(options: TcpRigOptions = {}) {
    const { client = "ours", agent = "ours" } = options;
    this.node = new NodeRig(options);
    this.node.tunnel.drainable = agent === "ours";
    this.#client = client;
  }

  get socket(): MemorySocket {
    return this.node.socket;
  }

  get stream(): MemoryStream {
    return this.node.stream;
  }

  /** The dial request; `fields` are additional lines, each with its CRLF. */
  request(fields = ""): string {
    const capability = this.#client === "ours" ? "x-piko-capabilities: half-close\r\n" : "";
    return (
      "GET /_piko/v1/tcp/e HTTP/1.1\r\nHost: node\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" +
      `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${capability}${fields}\r\n`
    );
  }

  /** Sends the request and reads its 101. */
  dial(): this {
    this.socket.send(this.request());
    const answer = this.socket.take();
    if (!answer.startsWith("HTTP/1.1 101 ")) throw new Error(`not joined: ${answer}`);
    return this;
  }

  // What the client does.

  clientSends(text: string): void {
    this.socket.send(frame(OPCODE_BINARY, text));
  }

  clientEnds(): void {
    if (this.#client === "ours") this.clientCloses(1000);
    else this.clientEof();
  }

  clientCloses(code: number, reason = ""): void {
    this.socket.send(frame(OPCODE_CLOSE, String.fromCharCode(code >> 8, code & 0xff) + reason));
  }

  clientEof(): void {
    this.socket.ended = true;
    this.socket.handler?.onEnd();
  }

  clientResets(): void {
    this.#gone = true;
    this.socket.handler?.onClose(new Error("read ECONNRESET"));
  }

  // What the service does.

  serviceSends(text: string): void {
    this.stream.deliver(text);
  }

  serviceEnds(): void {
    this.stream.handler.onEnd();
  }

  serviceResets(): void {
    this.stream.handler.onReset();
  }

  /**
   * What both sides received since the last call, the service first. A socket that the node has closed delivers nothing more.
   */
  observed(): string {
    const { socket, stream } = this;
    const observed: string[] = [];
    const written = stream.written.slice(this.#written);
    this.#written = stream.written.length;
    if (written !== "") observed.push(`service: ${written}`);
    for (const call of stream.calls.slice(this.#observed)) observed.push(`service: ${call}`);
    this.#observed = stream.calls.length;
    for (const one of framesOf(socket.take())) observed.push(`client: ${one}`);
    const calls = socket.calls.slice(this.#callsSeen);
    this.#callsSeen = socket.calls.length;
    for (const call of calls) observed.push(`client: ${call}`);
    if (calls.length > 0 && !this.#gone) {
      this.#gone = true;
      socket.handler?.onClose(undefined);
      const more = this.observed();
      if (more !== "") observed.push(more);
    } else if (this.isOver) observed.push("over");
    return observed.join(", ");
  }

  /** Whether the connection is accounted for. */
  get isOver(): boolean {
    return this.node.metrics.inFlight === 0;
  }

  /** Cuts what is left. */
  close(): void {
    if (!this.#gone) this.clientResets();
    this.serviceResets();
  }
}

/** A client's frame. Its mask is zero, so that its payload stays readable. */
export function frame(opcode: number, payload: string): string {
  const { length } = payload;
  const size =
    length < 126
      ? String.fromCharCode(0x80 | length)
      : `${String.fromCharCode(0xfe, length >> 8, length & 0xff)}`;
  return `${String.fromCharCode(0x80 | opcode)}${size}\0\0\0\0${payload}`;
}

/** A node's frames in words: data as it is, other frames by name. */
function framesOf(text: string): string[] {
  const bytes = Buffer.from(text, "latin1");
  const found: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const opcode = (bytes[at] as number) & 0x0f;
    let length = bytes[at + 1] as number;
    at += 2;
    if (length === 126) {
      length = bytes.readUInt16BE(at);
      at += 2;
    } else if (length === 127) {
      length = Number(bytes.readBigUInt64BE(at));
      at += 8;
    }
    const payload = bytes.subarray(at, at + length);
    at += length;
    if (opcode === OPCODE_BINARY) found.push(payload.toString("latin1"));
    else if (opcode === OPCODE_CLOSE) found.push(`close ${payload.readUInt16BE(0)}`);
    else found.push(`${OPCODES[opcode] ?? opcode} ${payload.toString("latin1")}`);
  }
  return found;
}
