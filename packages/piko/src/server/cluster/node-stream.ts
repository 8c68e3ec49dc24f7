// One request on its way to another node, over HTTP/1.1 on a pooled connection. Looks like a tunnel's stream to the
// exchange, which writes the same head to either; what the hop needs is changed here, in the first bytes.

import type { ByteSocket, SocketHandler, StreamHandler } from "@piko/tunnel";
import type { UpstreamStream } from "../proxy/upstream-stream.js";
import type { NodePool } from "./node-pool.js";

/** Received bytes that may wait for the client, as on a tunnel's stream. */
const WINDOW_BYTES = 256 * 1024;
const CRLF = "\r\n";
const HEAD_END = "\r\n\r\n";
const FORWARD = Buffer.from("x-piko-forward: true\r\n", "latin1");
const CLOSE = Buffer.from("Connection: close\r\n", "latin1");
/**
 * First bytes of methods that may go out on a kept connection: they are sent again if the node has closed it meanwhile
 * (RFC 9112 section 9.3.1). PUT may be repeated too, but what has a body may be too long to.
 */
const REPEATABLE = new Set(["GET ", "HEAD", "DELE", "OPTI", "TRAC"]);

export class NodeStream implements UpstreamStream, SocketHandler {
  handler: StreamHandler;
  readonly #pool: NodePool;
  #socket: ByteSocket | undefined = undefined;
  /** The connection carried other requests before. */
  #reused = false;
  /** How often the connection had sent something when it was taken for this request. */
  #flushesBefore = 0;
  #connected = false;
  #answered = false;
  #lost = false;
  /** The request is over, or the socket gone: nothing more is said to the handler. */
  #released = false;
  #blocked = false;
  #unconsumed = 0;

  constructor(pool: NodePool, handler: StreamHandler) {
    this.#pool = pool;
    this.handler = handler;
  }

  /** The node can't have seen the request: there never was a connection. */
  get refused(): boolean {
    return this.#lost && !this.#connected;
  }

  /** It was lost with a kept connection, which says nothing of the node. */
  get stale(): boolean {
    return this.#lost && this.#reused;
  }

  write(buffer: Buffer, start: number, end: number): number {
    if (this.#released) return end - start;
    const socket = this.#socket;
    if (socket === undefined) {
      this.#begin(buffer, start, end);
      return end - start;
    }
    if (socket.out.congested) {
      this.#blocked = true;
      return 0;
    }
    socket.out.write(buffer, start, end);
    return end - start;
  }

  consume(count: number): void {
    this.#unconsumed -= count;
    // A released connection may carry another request by now.
    if (!this.#released && this.#unconsumed < WINDOW_BYTES / 2) this.#socket?.resume();
  }

  /** The request has no more bytes, and isn't followed by another: the client of an upgrade has ended. */
  end(): void {
    if (!this.#released) this.#socket?.end();
  }

  /** The response is whole: the connection can carry the next request, if the node keeps it open. */
  release(reusable: boolean): void {
    if (this.#released) return;
    this.#settle();
    this.#released = true;
    const socket = this.#socket;
    if (socket === undefined) return;
    if (reusable && !socket.ended) this.#pool.put(socket);
    else socket.close();
  }

  reset(): void {
    if (this.#released) return;
    this.#settle();
    this.#released = true;
    this.#socket?.destroy();
  }

  /** For the pool: the node can't be reached, so there will be no response. */
  giveUp(): void {
    this.#socket?.destroy();
  }

  flushFlags(): void {}

  onBytes(buffer: Buffer, start: number, end: number): void {
    if (this.#released || this.#lost) return;
    if (!this.#answered) {
      if (this.#reused && this.#socket?.out.flushes === this.#flushesBefore) {
        // The request has not left yet, so this answers nothing: it is the end of a kept connection.
        this.#onLoss();
        this.#socket.destroy();
        return;
      }
      this.#settle();
      this.#answered = true;
      this.#pool.onSuccess();
    }
    this.#unconsumed += end - start;
    if (this.#unconsumed > WINDOW_BYTES) this.#socket?.pause();
    this.handler.onData(buffer, start, end);
  }

  onEnd(): void {
    if (this.#released) return;
    this.#onLoss();
    this.handler.onEnd();
  }

  onDrain(): void {
    if (!this.#blocked || this.#released) return;
    this.#blocked = false;
    this.handler.onWritable();
  }

  onClose(): void {
    if (this.#released) return;
    this.#onLoss();
    this.#released = true;
    this.handler.onReset();
  }

  /** The connection ends: before an answer, that is a loss. */
  #onLoss(): void {
    if (this.#answered || this.#lost) return;
    this.#settle();
    this.#lost = true;
    if (this.#reused) this.#pool.onStale();
    else this.#pool.onFailure();
  }

  #settle(): void {
    if (!this.#answered) this.#pool.onSettled(this);
  }

  /** The first bytes hold the whole head: the connection is chosen by its method, and the head made fit for the hop. */
  #begin(buffer: Buffer, start: number, end: number): void {
    const kept = REPEATABLE.has(buffer.toString("latin1", start, start + 4)) ? this.#pool.take() : undefined;
    this.#reused = kept !== undefined;
    this.#connected = this.#reused;
    const socket = kept ?? this.#pool.connect(this, () => (this.#connected = true));
    if (kept !== undefined) kept.handler = this;
    this.#flushesBefore = socket.out.flushes;
    this.#socket = socket;
    this.#pool.onWaiting(this);
    const { out } = socket;
    const fields = buffer.indexOf(CRLF, start, "latin1") + CRLF.length;
    const headEnd = buffer.indexOf(HEAD_END, start, "latin1") + CRLF.length;
    const close = headEnd - CLOSE.length;
    const saysClose = buffer.compare(CLOSE, 0, CLOSE.length, close, headEnd) === 0;
    out.write(buffer, start, fields);
    out.write(FORWARD, 0, FORWARD.length);
    out.write(buffer, fields, saysClose ? close : headEnd);
    out.write(buffer, headEnd, end);
  }
}
