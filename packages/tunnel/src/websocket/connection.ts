// One WebSocket as a byte stream over a socket whose handshake is done: binary messages in and out, pings answered,
// closes exchanged. All bytes written in one event-loop turn leave as one frame (per 256 KiB).

import type { Clock, Timer } from "../clock.js";
import { systemClock } from "../system-clock.js";
import { TunnelError } from "../errors.js";
import type { ByteSocket } from "../socket/byte-socket.js";
import type { SocketHandler } from "../socket/socket-handler.js";
import { type Flushable, turnEnd } from "../socket/flush-queue.js";
import type { Outbox } from "../socket/outbox.js";
import {
  CLOSE_NO_STATUS,
  CLOSE_NORMAL,
  CLOSE_PROTOCOL_ERROR,
  CLOSE_UNSUPPORTED_DATA,
  frameHeaderBytes,
  MAX_CONTROL_PAYLOAD_BYTES,
  MAX_FRAME_HEADER_BYTES,
  OPCODE_BINARY,
  OPCODE_CLOSE,
  OPCODE_PONG,
  writeFrameHeader,
} from "./frame.js";
import { type FrameHandler, FrameReader } from "./frame-reader.js";
import { applyMask, randomMaskKey } from "./mask.js";

/** The events that the owner of a WebSocket receives. */
export interface WebSocketHandler {
  onPayload(buffer: Buffer, start: number, end: number): void;
  /**
   * The peer has ended its direction in order: all that it sent was passed on. What we write still reaches it, unless it is
   * one that ends by EOF. A direction that is cut has no end: see `onClose`.
   */
  onEnd(): void;
  onDrain(): void;
  /** An unsolicited Pong: pings are never sent on this level. Its payload is gone when this returns. */
  onPong?(payload: Buffer): void;
  /**
   * The connection is gone. Undefined: after both directions have ended in order, or we closed it ourselves; otherwise it
   * was cut, and what was passed on isn't all. Exactly once, the last call.
   */
  onClose(error: TunnelError | undefined): void;
}

/** How long the peer may take to answer our Close and close its side, counted from the last byte that it took. */
const CLOSE_WAIT_MS = 5_000;

export class WebSocketConnection implements SocketHandler, FrameHandler, Flushable {
  readonly out: Outbox;
  readonly socket: ByteSocket;
  readonly #isClient: boolean;
  readonly #reader: FrameReader;
  readonly #handler: WebSocketHandler;
  readonly #clock: Clock;
  #error: TunnelError | undefined;
  /** The peer ends by EOF instead of a Close frame, and reads no more then: Go peers. */
  readonly #eofIsEnd: boolean;
  /** We have ended our direction. */
  #closeSent = false;
  /** The peer has ended its direction in order. */
  #ended = false;
  /** We have closed: how the peer ends no longer matters. */
  #closing = false;
  #closed = false;
  #closeTimer: Timer | undefined;
  /** The payload of the latest ping, and how long it is; -1 when it is answered. */
  #ping: Buffer | undefined;
  #pingBytes = -1;

  /**
   * Takes the socket over: its handler is replaced, and everything written from here on is framed. `eofIsEnd`: the peer has
   * not said that it ends by Close frames, so EOF without one is its end, and not a cut.
   */
  constructor(
    socket: ByteSocket,
    role: "client" | "server",
    handler: WebSocketHandler,
    clock: Clock = systemClock,
    eofIsEnd = false,
  ) {
    this.socket = socket;
    this.#eofIsEnd = eofIsEnd;
    this.out = socket.out;
    this.#isClient = role === "client";
    this.#handler = handler;
    this.#clock = clock;
    this.#reader = new FrameReader(!this.#isClient, this);
    socket.handler = this;
    this.out.setSeal(MAX_FRAME_HEADER_BYTES, (slab, start, end) => this.#seal(slab, start, end));
  }

  /** Sends `[start, end)` of `buffer` as part of this turn's message. */
  write(buffer: Buffer, start: number, end: number): void {
    if (!this.#closeSent) this.out.write(buffer, start, end);
  }

  /**
   * Says that we send no more, after all that was written, while the peer may continue: a half-close. Go peers answer it by
   * closing both directions. When both have ended, the connection goes once the peer has taken what waits for it, however
   * long that takes; `close` is for those who won't wait.
   */
  end(code: number = CLOSE_NORMAL, reason = ""): void {
    if (this.#closeSent || this.#closed) return;
    this.#sendClose(code, reason);
    // No FIN before: a proxy in between could take it for the end of both directions.
    if (this.#ended) this.socket.close();
  }

  /** Sends an unsolicited Pong: to peers that don't know its payload it means nothing (section 5.5.3). */
  pong(payload: Buffer): void {
    if (!this.#closed && !this.#closeSent && !this.out.congested) this.#sendControl(OPCODE_PONG, payload);
  }

  /** Ends and gives the peer a few seconds to end too. */
  close(code: number = CLOSE_NORMAL, reason = ""): void {
    if (this.#closed || this.#closing) return;
    this.#closing = true;
    this.end(code, reason);
    // RFC 6455 section 7.1.1: the server closes the TCP connection first.
    if (!this.#isClient) this.socket.end();
    this.#awaitClose();
  }

  /**
   * Sends `code` after all that was written, and gives the peer a few seconds to read it and to close. One that doesn't
   * is reset: code and FIN stand behind bytes that it may never read, perhaps all of them in the kernel.
   */
  fail(error: TunnelError, code: number | undefined): void {
    if (this.#closed) return;
    this.#error ??= error;
    this.#closing = true;
    this.#reader.stop();
    if (code !== undefined && !this.#closeSent) this.#sendClose(code, error.message);
    this.socket.close(true);
    this.#awaitClose();
  }

  /** Sends what is pending, then FIN, without a Close frame; Go peers take it for a normal close. */
  endWithoutClose(): void {
    if (this.#closed) return;
    this.#closing = true;
    this.#closeSent = true;
    this.#reader.stop();
    this.socket.close();
    this.#awaitClose();
  }

  /** Cuts both directions at once; if the peer's system reads that as a normal end, nothing corrects it, see `reset`. */
  destroy(): void {
    this.#closing = true;
    this.#reader.stop();
    this.socket.destroy();
  }

  /** Cuts both directions with a TCP reset. What can still leave does, what waits is thrown away. */
  reset(): void {
    this.#closing = true;
    this.#reader.stop();
    this.socket.reset();
  }

  onBytes(buffer: Buffer, start: number, end: number): void {
    this.#reader.read(buffer, start, end);
    this.socket.messages += this.#reader.frames;
    this.#reader.frames = 0;
  }

  onEnd(): void {
    if (this.#closing || (this.#ended && this.#closeSent)) {
      this.socket.close();
    } else if (this.#eofIsEnd) {
      // It reads no more: what waits for it has nowhere to go.
      this.#closeSent = true;
      this.#onPeerEnd();
      this.socket.destroy();
    } else {
      this.#cut(new TunnelError("PIKO_TUNNEL_EOF", "connection ended without a close"));
    }
  }

  onDrain(): void {
    this.#answerPing();
    this.#handler.onDrain();
  }

  onClose(error: Error | undefined): void {
    this.#closed = true;
    this.#reader.stop();
    if (this.#closeTimer !== undefined) this.#clock.clearTimeout(this.#closeTimer);
    // When both have ended it makes no difference how the connection went.
    if (!this.#closing && !(this.#ended && this.#closeSent)) {
      const detail = error === undefined ? "closed" : `failed: ${error.message}`;
      this.#error ??= new TunnelError("PIKO_TUNNEL_SOCKET", `connection ${detail}`, { cause: error });
    }
    this.#handler.onClose(this.#error);
  }

  onPayload(buffer: Buffer, start: number, end: number): void {
    this.#handler.onPayload(buffer, start, end);
  }

  /**
   * Section 5.5.3: of several pings only the latest has to be answered. It is, at the end of the turn, or when the peer
   * has read what waits for it: pings cost no more writes than turns, and nothing at all if their sender doesn't read.
   */
  onPing(payload: Buffer): void {
    this.#ping ??= Buffer.allocUnsafeSlow(MAX_CONTROL_PAYLOAD_BYTES);
    // The turn's end, or the drain, is in progress for an earlier one.
    if (this.#pingBytes < 0) turnEnd.scheduleLast(this);
    this.#pingBytes = payload.copy(this.#ping);
  }

  /** For the flush queue. */
  onTurnEnd(): void {
    if (!this.out.congested) this.#answerPing();
  }

  onPong(payload: Buffer): void {
    this.#handler.onPong?.(payload);
  }

  onCloseFrame(code: number, reason: string): void {
    if (code !== CLOSE_NORMAL && code !== CLOSE_NO_STATUS) {
      const detail = reason === "" ? `${code}` : `${code}: ${reason}`;
      if (!this.#closeSent) this.#sendClose(CLOSE_NORMAL, "");
      this.#cut(new TunnelError("PIKO_WS_CLOSED", `websocket: closed by peer: ${detail}`));
      return;
    }
    this.#onPeerEnd();
    if (this.#closeSent) this.socket.close();
  }

  onBadFrame(error: TunnelError): void {
    this.fail(error, error.code === "PIKO_WS_TEXT_MESSAGE" ? CLOSE_UNSUPPORTED_DATA : CLOSE_PROTOCOL_ERROR);
  }

  #onPeerEnd(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (!this.#closing) this.#handler.onEnd();
  }

  /** The peer has cut the connection, or is gone: what waits for it has nowhere to go. */
  #cut(error: TunnelError): void {
    this.#error ??= error;
    this.#closing = true;
    this.#reader.stop();
    this.socket.destroy();
  }

  #answerPing(): void {
    const bytes = this.#pingBytes;
    if (bytes < 0 || this.#closeSent) return;
    this.#pingBytes = -1;
    this.#sendControl(OPCODE_PONG, (this.#ping as Buffer).subarray(0, bytes));
  }

  #seal(slab: Buffer, start: number, end: number): number {
    const length = end - start;
    if (!this.#isClient) {
      const at = start - frameHeaderBytes(length, false);
      writeFrameHeader(slab, at, OPCODE_BINARY, length, undefined);
      return at;
    }
    const key = randomMaskKey();
    const at = start - frameHeaderBytes(length, true);
    writeFrameHeader(slab, at, OPCODE_BINARY, length, key);
    applyMask(slab, start, end, key, 0);
    return at;
  }

  #sendClose(code: number, reason: string): void {
    // Section 5.5.2: unless the peer has sent its Close.
    if (!this.#ended && !this.out.congested) this.#answerPing();
    const payload = Buffer.allocUnsafe(MAX_CONTROL_PAYLOAD_BYTES);
    payload.writeUInt16BE(code, 0);
    // What doesn't fit is cut off between two characters.
    const length = payload.write(reason, 2, "utf8");
    this.#sendControl(OPCODE_CLOSE, payload.subarray(0, 2 + length));
    this.#closeSent = true;
  }

  /** Control frames are rare: each goes out by itself, after what was written before it. */
  #sendControl(opcode: number, payload: Buffer): void {
    this.out.flush();
    if (!this.socket.socket.writable) return;
    const key = this.#isClient ? randomMaskKey() : undefined;
    const frame = Buffer.allocUnsafe(frameHeaderBytes(payload.length, this.#isClient) + payload.length);
    const at = writeFrameHeader(frame, 0, opcode, payload.length, key);
    payload.copy(frame, at);
    if (key !== undefined) applyMask(frame, at, frame.length, key, 0);
    if (!this.socket.socket.write(frame)) this.out.congested = true;
  }

  #awaitClose(): void {
    if (this.#closed || this.#closeTimer !== undefined) return;
    const { unsentBytes, socket } = this.socket;
    const { writableLength } = socket;
    this.#closeTimer = this.#clock.setTimeout(() => {
      this.#closeTimer = undefined;
      const left = this.socket.unsentBytes;
      // A slow reader that has taken some of what waits may take the rest.
      if (left > 0 && (left !== unsentBytes || socket.writableLength !== writableLength)) this.#awaitClose();
      else if (left > 0 || this.#error !== undefined) this.socket.reset();
      else this.socket.destroy();
    }, CLOSE_WAIT_MS);
  }
}
