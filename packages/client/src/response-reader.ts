// Reads the responses of a handshake from a socket, which is then passed on with every byte that arrived after them.

import type { ByteSocket, SocketHandler } from "@piko/tunnel";
import { ClientError, errorText } from "./errors.js";
import { findResponseHead, hasToken, MAX_HEAD_BYTES, type ResponseHead } from "./response-head.js";

/** Maximum bytes of a refusal's body that are read. */
export const MAX_ERROR_BODY_BYTES = 1024;

/** Reading pauses when this much is buffered: a head and what may arrive in the same read. */
const MAX_WAITING_BYTES = MAX_HEAD_BYTES + 64 * 1024;

/** The handler of a socket until its handshake is complete. */
export class ResponseReader implements SocketHandler {
  socket: ByteSocket | undefined;
  /** Whether the connection uses TLS. */
  secure = false;
  #buffer: Buffer = Buffer.alloc(0);
  #ended = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  /** The next head, including those of interim (1xx) responses. */
  async readHead(): Promise<ResponseHead> {
    for (;;) {
      const found = findResponseHead(this.#buffer);
      if (found !== undefined) {
        this.#buffer = this.#buffer.subarray(found.bytes);
        return found.head;
      }
      if (this.#ended) throw this.#lost();
      await this.#more();
    }
  }

  /** The first bytes of a refusal's body that arrive before the response or the connection ends. */
  async readErrorBody(head: ResponseHead): Promise<Buffer> {
    const chunked = hasToken(head.headers.get("transfer-encoding"), "chunked");
    const length = Number(head.headers.get("content-length") ?? Number.NaN);
    for (;;) {
      const body = chunked ? joinChunks(this.#buffer) : { bytes: this.#buffer, complete: false };
      const complete = body.complete || body.bytes.length >= length;
      if (complete || this.#ended || body.bytes.length >= MAX_ERROR_BODY_BYTES) {
        return body.bytes.subarray(0, Math.min(length || MAX_ERROR_BODY_BYTES, MAX_ERROR_BODY_BYTES));
      }
      await this.#more();
    }
  }

  /** Stops reading and returns what arrived after the last head. The caller has to replace the socket's handler. */
  release(): Buffer {
    this.socket?.pause();
    return this.#buffer;
  }

  /** Number of bytes after the last head. */
  get waitingBytes(): number {
    return this.#buffer.length;
  }

  onBytes(buffer: Buffer, start: number, end: number): void {
    this.#buffer = Buffer.concat([this.#buffer, buffer.subarray(start, end)]);
    if (this.#buffer.length > MAX_WAITING_BYTES) this.socket?.pause();
    this.#wake?.();
  }

  onEnd(): void {
    this.#ended = true;
    this.#wake?.();
  }

  onDrain(): void {
    // A request is far below any high-water mark.
  }

  onClose(error: Error | undefined): void {
    this.#error = error;
    this.onEnd();
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #lost(): ClientError {
    const hint =
      this.#buffer.length === 0 && !this.secure
        ? " (if the port requires TLS, the url must begin with https://)"
        : "";
    const detail =
      this.#error === undefined ? `connection ended before an answer${hint}` : errorText(this.#error);
    return new ClientError("PIKO_CLIENT_CONNECT", detail, { retryable: true, cause: this.#error });
  }
}

/** Joins the data of the chunks received so far. Lenient: it stops at anything that isn't a chunk. */
function joinChunks(buffer: Buffer): { bytes: Buffer; complete: boolean } {
  const pieces: Buffer[] = [];
  let at = 0;
  let complete = false;
  for (;;) {
    const lineEnd = buffer.indexOf("\r\n", at);
    if (lineEnd < 0) break;
    const size = /^[0-9a-f]{1,6}/i.exec(buffer.toString("latin1", at, lineEnd));
    const count = size === null ? 0 : Number.parseInt(size[0], 16);
    complete = count === 0;
    if (complete) break;
    pieces.push(buffer.subarray(lineEnd + 2, lineEnd + 2 + count));
    at = lineEnd + 2 + count + 2;
  }
  return { bytes: Buffer.concat(pieces), complete };
}
