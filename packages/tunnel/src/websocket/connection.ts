// One WebSocket as a byte stream over a socket after its handshake: sends and receives binary messages, answers pings, and
// exchanges Close frames. All bytes written in one event-loop turn leave as one frame (per 256 KiB).

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
   * The peer has ended its direction normally: everything that it sent was passed on. What we write still reaches it, unless it
   * is a peer that ends by EOF. A direction that was cut has no end: see `onClose`.
   */
  onEnd(): void;
  onDrain(): void;
  /** An unsolicited Pong: pings are never sent at this level. The payload is valid only during the call. */
  onPong?(payload: Buffer): void;
  /**
   * The connection is closed. Undefined: after both directions have ended normally, or we closed it ourselves. Otherwise it was
   * cut, and what was passed on is incomplete. Exactly once, the last call.
   */
  onClose(error: TunnelError | undefined): void;
}

/** How long the peer may take to answer our Close and close its side, counted from the last byte that it read. */
const CLOSE_WAIT_MS = 5_000;

export class WebSocketConnection implements SocketHandler, FrameHandler, Flushable {
  readonly out: Outbox;
  readonly socket: ByteSocket;
  readonly #isClient: boolean;
  readonly #reader: FrameReader;
  readonly #handler: WebSocketHandler;
  readonly #clock: Clock;
  #error: TunnelError | undefined;
  /** Whether the peer ends by EOF instead of a Close frame, and reads no more then, as Go peers do. */
  readonly #eofIsEnd: boolean;
  /** Whether we have ended our direction. */
  #closeSent = false;
  /** Whether the peer has ended its direction normally. */
  #ended = false;
  /** Whether we have closed: then how the peer ends no longer matters. */
  #closing = false;
  #closed = false;
  #closeTimer: Timer | undefined;
  /** The payload of the latest ping, and its length; -1 once it is answered. */
  #ping: Buffer | undefined;
  #pingBytes = -1;

  /**
   * Takes over the socket: replaces its handler, and frames everything written from here on. `eofIsEnd`: the peer has not
   * announced that it ends by Close frames, so EOF without one is its end, and not a cut.
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
   * Ends our direction after everything that was written, while the peer may continue: a half-close. Go peers answer by closing
   * both directions. When both have ended, the connection is closed once the peer has read everything that is queued for it,
   * however long that takes; `close` doesn't wait that long.
   */
  end(code: number = CLOSE_NORMAL, reason = ""): void {
    if (this.#closeSent || this.#closed) return;
    this.#sendClose(code, reason);
    // No FIN before: a proxy in between could take it for the end of both directions.
    if (this.#ended) this.socket.close();
  }

  /** Sends an unsolicited Pong; peers that don't know its payload ignore it (section 5.5.3). */
  pong(payload: Buffer): void {
    if (!this.#closed && !this.#closeSent && !this.out.congested) this.#sendControl(OPCODE_PONG, payload);
  }

  /** Ends our direction, and gives the peer a few seconds to end its own. */
  close(code: number = CLOSE_NORMAL, reason = ""): void {
    if (this.#closed || this.#closing) return;
    this.#closing = true;
    this.end(code, reason);
    // RFC 6455 section 7.1.1: the server closes the TCP connection first.
    if (!this.#isClient) this.socket.end();
    this.#awaitClose();
  }

  /**
   * Sends `code` after everything that was written, and gives the peer a few seconds to read it and to close. A peer that
   * doesn't is reset: code and FIN are queued after bytes that it may never read, perhaps all of them in the kernel.
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

  /** Sends what is queued, then FIN, without a Close frame; Go peers take that for a normal close. */
  endWithoutClose(): void {
    if (this.#closed) return;
    this.#closing = true;
    this.#closeSent = true;
    this.#reader.stop();
    this.socket.close();
    this.#awaitClose();
  }

  /** Cuts both directions at once. The peer's system may report that as a normal end; see `reset`. */
  destroy(): void {
    this.#closing = true;
    this.#reader.stop();
    this.socket.destroy();
  }

  /** Cuts both directions with a TCP reset. What can still leave does; other queued bytes are dropped. */
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
      // The peer reads no more: queued bytes have nowhere to go.
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
    // When both have ended, it doesn't matter how the connection closed.
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
   * Section 5.5.3: of several pings only the latest has to be answered. The answer is sent at the end of the turn, or when the
   * peer has read what is queued for it. So pings cost at most one write per turn, and nothing if their sender doesn't read.
   */
  onPing(payload: Buffer): void {
    this.#ping ??= Buffer.allocUnsafeSlow(MAX_CONTROL_PAYLOAD_BYTES);
    // An earlier ping has already scheduled the turn's end, or waits for the drain.
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

  /** The peer has cut the connection or vanished: queued bytes have nowhere to go. */
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
    // A reason that doesn't fit is truncated between two characters.
    const length = payload.write(reason, 2, "utf8");
    this.#sendControl(OPCODE_CLOSE, payload.subarray(0, 2 + length));
    this.#closeSent = true;
  }

  /** Control frames are rare: each is sent by itself, after what was written before it. */
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
      // A slow reader that has read some of the queued bytes may read the rest.
      if (left > 0 && (left !== unsentBytes || socket.writableLength !== writableLength)) this.#awaitClose();
      else if (left > 0 || this.#error !== undefined) this.socket.reset();
      else this.socket.destroy();
    }, CLOSE_WAIT_MS);
  }
}
