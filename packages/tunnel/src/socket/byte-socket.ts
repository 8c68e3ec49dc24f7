// A TCP or TLS socket as the data path uses it: bytes arrive in one callback, out of a read buffer that all plain TCP
// sockets share, and leave through an outbox. Client, tunnel and service connections are all made of this.

import { connect as connectTcp, Socket, type TcpNetConnectOpts } from "node:net";
import { type ConnectionOptions, connect as connectTls, TLSSocket } from "node:tls";
import type { Clock, Timer } from "../clock.js";
import { systemClock } from "../system-clock.js";
import { dial, placeOf } from "../dial/dial.js";
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

/** How long after our FIN the peer may go on sending before the connection is closed. */
const LINGER_MS = 2_000;
/** How long what came before a write failed may take to be read; it is at most what the kernel holds. */
const READ_ON_MS = 30_000;
/** The system counts in seconds, and takes 0 for its own default of two hours. */
const LEAST_KEEP_ALIVE_MS = 1_000;

export class ByteSocket implements Reader, UnwatchedSocket {
  /** As long as there is no connection, one that never will be any. */
  socket: Socket;
  readonly out: Outbox;
  handler: SocketHandler;
  readonly #clock: Clock;
  /**
   * What the handler counts up: messages in the bytes that have come. A turn in which they were many and small is followed
   * by shorter ones. Not counting is fine where a byte costs no more than a copy.
   */
  messages: number;
  #error: Error | undefined;
  #ended: boolean;
  #paused: boolean;
  #closing: boolean;
  #lingering: Timer | undefined;
  /** A write has failed: what the peer had sent is read, nothing is sent any more. */
  #readsOn: boolean;
  /** Reads into shared memory, by `onread`; otherwise by `data` events. */
  #shared: boolean;
  readonly #readLength: ReadLength;
  /** How much a turn reads now, and what has come since the last one that was used up. */
  #turnBytes: number;
  #readBytes: number;
  /** The turn is used up: reading goes on in the next one. */
  #awaitingTurn: boolean;
  /** There is no connection yet: `socket` is none. */
  #dialling: boolean;
  /** Ends the wait for a connection that stands, with its TLS handshake; undefined when there is no wait. */
  #stopOpening: (() => void) | undefined;
  /** `end` came while it dialled. */
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
    this.#readsOn = false;
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
   * Takes over a socket from a server. Plain TCP sockets must come paused (`pauseOnConnect: true`). To the server they are
   * gone then: `server.close()` doesn't wait for them, and the owner counts connections.
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
   * Opens a TCP or TLS connection to whichever of a host's addresses takes it first. Bytes can be written at once. How it
   * ended, if it never stood too, is told by the handler's `onClose`: when a write fails, behind all that the peer had sent.
   */
  static connect(options: ConnectOptions, handler: SocketHandler): ByteSocket {
    const socket = new ByteSocket(handler, "long", options.clock ?? systemClock, undefined);
    socket.#connect(options);
    return socket;
  }

  /** Begins TLS on a connection that stands, and belongs to the new socket from here on. */
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

  /** The connection doesn't stand yet. */
  get opening(): boolean {
    return this.#stopOpening !== undefined;
  }

  /** The peer has sent its last byte. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Bytes that the kernel hasn't taken yet. Falls with every byte that the peer makes room for, unlike `writableLength`,
   * which counts whole writes (feature-checked: Node's own socket timeout looks at the same number).
   */
  get unsentBytes(): number {
    const handle = (this.socket as unknown as { _handle?: { writeQueueSize?: number } | null })._handle;
    const queued = handle?.writeQueueSize;
    return queued === undefined || queued === 0 ? this.socket.writableLength : queued;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Stops reading: the peer's bytes wait in the kernel. TLS may still pass on the rest of what it has decrypted. */
  pause(): void {
    if (this.#paused || this.#closing || this.socket.destroyed) return;
    this.#paused = true;
    unwatchedSockets.add(this);
    // A pause would stop the TLS handshake as well.
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
    // One whose write has failed is known to be gone, and has time to be read.
    if (!this.opening && !this.#readsOn && isConnectionCut(this.socket)) this.socket.destroy(resetError());
  }

  /** For the read turns: others had theirs. */
  onReadTurn(): void {
    this.#awaitingTurn = false;
    if (!this.#paused && !this.socket.destroyed) this.socket.resume();
  }

  /** Sends what is collected, then FIN. */
  end(): void {
    this.out.flush();
    if (this.#dialling) this.#endLater = true;
    else if (!this.#readsOn) this.socket.end();
  }

  /**
   * Sends what is collected, for as long as the peer takes to read it, then FIN, and closes. `onClose` is the next call.
   * What the peer still sends is read and dropped for a while: closing a socket with unread bytes makes the kernel drop
   * what it hasn't sent, and answer with a reset that can overtake the rest.
   * `cut`: who hasn't closed by then is reset, because FIN, and what stands before it, may wait where nobody reads.
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
   * Closes at once with a TCP reset, so that the peer can't take what it has for complete. What the kernel takes goes before
   * it, what waits is dropped.
   */
  reset(): void {
    if (this.#dialling) {
      this.destroy();
      return;
    }
    this.out.flush();
    this.out.close();
    // Nothing is said meanwhile. Unix sockets have no reset.
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
      const all = { ...placeOf(address, port), ...(SHARED ? { onread: this.#onRead() } : {}) };
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
      holdWriteErrors(socket, (reason) => this.#readOn(reason));
      if (keepAliveMs > 0) socket.setKeepAlive(true, Math.max(keepAliveMs, LEAST_KEEP_ALIVE_MS));
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
    if (this.#readsOn) {
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

  /** Listens to what becomes of the socket. */
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
      const cut = this.#readsOn && !hadEnded(this.#error as Error);
      if (!this.#closing && !cut) this.#onEnd();
      if (this.#readsOn) this.destroy();
    });
    socket.on("drain", () => {
      this.out.onDrain();
      this.#onDrain();
    });
    socket.on("error", (error) => {
      this.#error = error;
    });
    // A connection can be gone before it is taken over; its event is in the past then.
    if (socket.closed) process.nextTick(() => this.#onClose());
    else socket.on("close", () => this.#onClose());
  }

  /** A write has failed. The answer to what was written may have come before that. */
  #readOn(error: Error): boolean {
    if (this.#ended || this.#closing || this.socket.destroyed || !isRefusal(error)) return false;
    this.#readsOn = true;
    this.#error = error;
    this.#lingering = this.#clock.setTimeout(() => this.destroy(), READ_ON_MS);
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

  /** How one socket reads into shared memory. */
  #onRead(): OnRead {
    let current: Buffer | undefined;
    return {
      // Asked for after each read; only another buffer is an answer.
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
