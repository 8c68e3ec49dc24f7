// A TCP or TLS socket for the data path: bytes arrive in one callback, in a read buffer that all plain TCP sockets share, and
// leave through an outbox. Client, tunnel and service connections are all built on this.

import { connect as connectTcp, Socket, type TcpNetConnectOpts } from "node:net";
import { type ConnectionOptions, connect as connectTls, TLSSocket } from "node:tls";
import type { Clock, Timer } from "../clock.js";
import { systemClock } from "../system-clock.js";
import { dial, connectOptionsOf } from "../dial/dial.js";
import type { ConnectOptions } from "./connect-options.js";
import { faults } from "../faults.js";
import { Outbox } from "./outbox.js";
import { type Reader, readTurns } from "./read-turns.js";
import { adoptSocket, type OnRead, readChunks, SHARED } from "./shared-reads.js";
import type { SocketHandler } from "./socket-handler.js";
import { isConnectionCut, isResetAtEnd, resetError, resetSocket } from "./socket-state.js";
import { TLS_CIPHERS } from "./tls-ciphers.js";
import { firstTurnBytes, nextTurnBytes, type ReadLength, readBuffer } from "./turn-length.js";
import { type UnwatchedSocket, unwatchedSockets } from "./unwatched-sockets.js";
import { hadEnded, holdWriteErrors, isRefusal } from "./write-errors.js";

/** How long the peer may continue to send after our FIN before the connection is closed. */
const LINGER_MS = 2_000;
/** Timeout for reading what arrived before a write failed; it is at most what the kernel holds. */
const READ_AFTER_ERROR_MS = 30_000;
/** The system counts in seconds, and takes 0 for its own default of two hours. */
const MIN_KEEP_ALIVE_MS = 1_000;

export class ByteSocket implements Reader, UnwatchedSocket {
  /** A placeholder until there is a connection. */
  socket: Socket;
  readonly out: Outbox;
  handler: SocketHandler;
  readonly #clock: Clock;
  /**
   * Number of messages in the received bytes; incremented by the handler. A turn with many small messages is followed by shorter ones. A
   * handler needn't count if its work per byte is no more than a copy.
   */
  messages: number;
  #error: Error | undefined;
  #ended: boolean;
  #paused: boolean;
  #closing: boolean;
  #lingering: Timer | undefined;
  /** Whether a write has failed: bytes that the peer had sent are still read, but nothing is sent any more. */
  #writeFailed: boolean;
  /** Whether it reads into shared memory with `onread`; otherwise with `data` events. */
  #shared: boolean;
  readonly #readLength: ReadLength;
  /** Bytes that may be read per turn now, and bytes read since the last turn that was used up. */
  #turnBytes: number;
  #readBytes: number;
  /** Whether the turn is used up: reading continues in the next one. */
  #awaitingTurn: boolean;
  /** Whether there is no connection yet: `socket` is a placeholder. */
  #dialling: boolean;
  /** Ends the wait for an open connection, including its TLS handshake; undefined if there is no wait. */
  #stopOpening: (() => void) | undefined;
  /** Whether `end` was called while dialling. */
  #endLater: boolean;

  private constructor(
    handler: SocketHandler,
    readLength: ReadLength,
    clock: Clock,
    open: ((onread: OnRead) => { socket: Socket; shared: boolean }) | undefined,
  ) {
    this.handler = handler;
    this.#clock = clock;
    this.messages = 0;
    this.#error = undefined;
    this.#ended = false;
    this.#paused = false;
    this.#closing = false;
    this.#lingering = undefined;
    this.#writeFailed = false;
    this.#readLength = readLength;
    this.#turnBytes = firstTurnBytes(readLength);
    this.#readBytes = 0;
    this.#awaitingTurn = false;
    this.#shared = false;
    this.#stopOpening = undefined;
    this.#endLater = false;
    const opened = open?.(this.#onRead());
    this.#dialling = opened === undefined;
    this.socket = opened?.socket ?? new Socket();
    this.out = new Outbox(opened?.socket, !(opened?.socket instanceof TLSSocket));
    if (opened !== undefined) this.#watch(opened.shared);
  }

  /**
   * Takes over a socket from a server. Plain TCP sockets must be paused (`pauseOnConnect: true`). The server no longer knows them
   * afterwards: `server.close()` doesn't wait for them, and the owner counts connections.
   */
  static accept(
    accepted: Socket,
    handler: SocketHandler,
    readLength: ReadLength = "long",
    clock: Clock = systemClock,
  ): ByteSocket {
    return new ByteSocket(handler, readLength, clock, (onread) => adoptSocket(accepted, onread));
  }

  /**
   * Opens a TCP or TLS connection to the first of a host's addresses that accepts. Bytes can be written at once. The handler's `onClose`
   * reports how the connection ended, also if it was never open. After a failed write, it is called once everything that the peer had sent
   * was read.
   */
  static connect(options: ConnectOptions, handler: SocketHandler): ByteSocket {
    const socket = new ByteSocket(handler, "long", options.clock ?? systemClock, undefined);
    socket.#connect(options);
    return socket;
  }

  /** Starts TLS on an open connection, which belongs to the new socket from here on. */
  static secure(
    over: ByteSocket,
    tls: ConnectionOptions,
    handler: SocketHandler,
    onOpen: () => void,
  ): ByteSocket {
    return new ByteSocket(handler, "long", over.#clock, () => {
      const socket = connectTls({ ciphers: TLS_CIPHERS, ...tls, socket: over.socket });
      socket.allowHalfOpen = true;
      socket.once("secureConnect", onOpen);
      return { socket, shared: false };
    });
  }

  /** Whether the connection isn't open yet. */
  get opening(): boolean {
    return this.#stopOpening !== undefined;
  }

  /** Whether the peer has ended its direction. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Bytes that the kernel hasn't accepted yet. Decreases with every byte for which the peer makes room, unlike `writableLength`, which
   * counts whole writes (feature-checked: Node's own socket timeout uses the same number).
   */
  get unsentBytes(): number {
    const handle = (this.socket as unknown as { _handle?: { writeQueueSize?: number } | null })._handle;
    const queued = handle?.writeQueueSize;
    return queued === undefined || queued === 0 ? this.socket.writableLength : queued;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Stops reading: the peer's bytes remain in the kernel. TLS may still pass on the rest of what it has decrypted. */
  pause(): void {
    if (this.#paused || this.#closing || this.socket.destroyed) return;
    this.#paused = true;
    unwatchedSockets.add(this);
    // Pausing would stop the TLS handshake as well.
    if (!this.#awaitingTurn && !this.opening) this.socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (!this.#ended) unwatchedSockets.delete(this);
    if (!this.#awaitingTurn && !this.opening) this.socket.resume();
  }

  /** For the list of unwatched sockets. */
  checkPeer(): void {
    // After a failed write, the connection is known to be closed; what it received is still being read.
    if (!this.opening && !this.#writeFailed && isConnectionCut(this.socket))
      this.socket.destroy(resetError());
  }

  /** For the read turns: other sockets have been read. */
  onReadTurn(): void {
    this.#awaitingTurn = false;
    if (!this.#paused && !this.socket.destroyed) this.socket.resume();
  }

  /** Sends what is collected, then FIN. */
  end(): void {
    this.out.flush();
    if (this.#dialling) this.#endLater = true;
    else if (!this.#writeFailed) this.socket.end();
  }

  /**
   * Sends what is collected, for as long as the peer takes to read it, then FIN, and closes. `onClose` is the next call. What the peer
   * still sends is read and dropped for a while: closing a socket with unread bytes makes the kernel drop what it hasn't sent, and answer
   * with a reset that can overtake the rest. `cut`: a peer that hasn't closed by then is reset, because FIN and the bytes before it may be
   * queued for a peer that doesn't read.
   */
  close(cut = false): void {
    if (this.#closing) return;
    this.#closing = true;
    this.out.flush();
    if (!this.#dialling) this.#finish(cut);
  }

  /** Closes at once; unsent bytes are dropped. */
  destroy(): void {
    this.out.close();
    this.#stopOpening?.();
    if (!this.#dialling) {
      this.socket.destroy();
      return;
    }
    this.#dialling = false;
    process.nextTick(() => this.#onClose());
  }

  /**
   * Closes at once with a TCP reset, so that the peer can't take what it has for complete. Bytes that the kernel accepts are sent before
   * the reset, the others are dropped.
   */
  reset(): void {
    if (this.#dialling) {
      this.destroy();
      return;
    }
    this.out.flush();
    this.out.close();
    // Prevents callbacks until it is closed. Unix sockets have no reset.
    this.#closing = true;
    if (this.socket.remoteFamily === undefined) this.socket.destroy();
    else resetSocket(this.socket);
  }

  #connect(options: ConnectOptions): void {
    const clock = this.#clock;
    const { keepAliveMs = 0, onOpen, port, timeoutMs = 0, tls } = options;
    const late = (): void => {
      this.#error = new Error(`no connection in ${timeoutMs} ms`);
      this.destroy();
    };
    const timer = timeoutMs > 0 ? clock.setTimeout(late, timeoutMs) : undefined;
    const open = (): void => {
      this.#stopOpening?.();
      if (this.#paused) this.socket.pause();
      onOpen?.();
    };
    const openAttempt = (address: string): Socket => {
      const all = { ...connectOptionsOf(address, port), ...(SHARED ? { onread: this.#onRead() } : {}) };
      if (tls === undefined) return connectTcp(all as TcpNetConnectOpts);
      return connectTls({ ciphers: TLS_CIPHERS, ...tls, ...all } as ConnectionOptions);
    };
    const giveUp = dial(options, openAttempt, (error, socket) => {
      if (socket === undefined) {
        this.#error = error;
        this.destroy();
        return;
      }
      this.#dialling = false;
      this.socket = socket;
      this.#watch(SHARED);
      holdWriteErrors(socket, (reason) => this.#onWriteError(reason));
      if (keepAliveMs > 0) socket.setKeepAlive(true, Math.max(keepAliveMs, MIN_KEEP_ALIVE_MS));
      const drained = this.out.connect(socket, tls === undefined);
      if (this.#closing) this.#finish();
      else if (this.#endLater) socket.end();
      if (tls === undefined) open();
      else socket.once("secureConnect", open);
      if (drained && !socket.destroyed) this.#onDrain();
    });
    this.#stopOpening = () => {
      this.#stopOpening = undefined;
      if (timer !== undefined) clock.clearTimeout(timer);
      giveUp();
    };
  }

  #finish(cut = false): void {
    const socket = this.socket;
    if (this.#writeFailed) {
      socket.destroy();
      return;
    }
    if (this.#ended) {
      socket.destroySoon();
      return;
    }
    this.resume();
    const linger = (): void => {
      if (socket.destroyed) return;
      this.#lingering = this.#clock.setTimeout(() => (cut ? this.reset() : socket.destroy()), LINGER_MS);
    };
    if (socket.writableFinished) linger();
    else socket.once("finish", linger);
    socket.end();
  }

  /** Subscribes to the socket's events. */
  #watch(shared: boolean): void {
    const socket = this.socket;
    this.#shared = shared;
    if (!shared) readChunks(socket, (chunk) => this.#onBytes(chunk, chunk.length));
    socket.setNoDelay(true);
    socket.on("end", () => {
      if (isResetAtEnd(socket)) {
        socket.destroy(resetError());
        return;
      }
      this.#ended = true;
      unwatchedSockets.add(this);
      const cut = this.#writeFailed && !hadEnded(this.#error as Error);
      if (!this.#closing && !cut) this.#onEnd();
      if (this.#writeFailed) this.destroy();
    });
    socket.on("drain", () => {
      this.out.onDrain();
      this.#onDrain();
    });
    socket.on("error", (error) => {
      this.#error = error;
    });
    // A connection can be closed before it is taken over; then its event was already emitted.
    if (socket.closed) process.nextTick(() => this.#onClose());
    else socket.on("close", () => this.#onClose());
  }

  /** Handles a failed write. The answer to what was written may have arrived before that. */
  #onWriteError(error: Error): boolean {
    if (this.#ended || this.#closing || this.socket.destroyed || !isRefusal(error)) return false;
    this.#writeFailed = true;
    this.#error = error;
    this.#lingering = this.#clock.setTimeout(() => this.destroy(), READ_AFTER_ERROR_MS);
    this.out.close();
    return true;
  }

  #onClose(): void {
    this.out.close();
    this.#stopOpening?.();
    unwatchedSockets.delete(this);
    if (this.#lingering !== undefined) this.#clock.clearTimeout(this.#lingering);
    try {
      this.handler.onClose(this.#error);
    } catch (error) {
      faults.report(error);
    }
  }

  #onEnd(): void {
    try {
      this.handler.onEnd();
    } catch (error) {
      this.#onFault(error);
    }
  }

  #onDrain(): void {
    try {
      this.handler.onDrain();
    } catch (error) {
      this.#onFault(error);
    }
  }

  #onFault(error: unknown): void {
    faults.report(error);
    this.#error ??= error instanceof Error ? error : new Error(String(error));
    this.reset();
  }

  /** Options by which one socket reads into shared memory. */
  #onRead(): OnRead {
    let current: Buffer | undefined;
    return {
      // Called after each read; returns a buffer only if it is another one.
      buffer: () => {
        const buffer = readBuffer(this.#readLength, this.#turnBytes);
        if (buffer === current) return undefined;
        current = buffer;
        return buffer;
      },
      callback: (count, buffer) => {
        this.#onBytes(buffer as Buffer, count);
        return !this.#awaitingTurn;
      },
    };
  }

  #onBytes(buffer: Buffer, count: number): void {
    try {
      if (!this.#closing) this.handler.onBytes(buffer, 0, count);
    } catch (error) {
      this.#onFault(error);
    }
    this.#readBytes += count;
    if (this.#readBytes < this.#turnBytes || this.#awaitingTurn) return;
    this.#turnBytes = nextTurnBytes(this.#readLength, this.#readBytes, this.messages);
    this.#readBytes = 0;
    this.messages = 0;
    this.#awaitingTurn = true;
    if (!this.#shared) this.socket.pause();
    readTurns.wait(this);
  }
}
