// A TCP or TLS socket as the data path uses it: bytes arrive in one callback, out of a read buffer that all plain TCP
// sockets share, and leave through an outbox. Client, tunnel and service connections are all made of this.

import { connect as connectTcp, type NetConnectOpts, Socket, type TcpNetConnectOpts } from "node:net";
import { type ConnectionOptions, connect as connectTls, TLSSocket } from "node:tls";
import { systemClock, type Timer } from "../clock.js";
import { Outbox } from "./outbox.js";

/** What the owner of a socket is told. */
export interface SocketHandler {
  /** Bytes `[start, end)` arrived. They are gone when this returns: copy what has to stay. Changing them is allowed. */
  onBytes(buffer: Buffer, start: number, end: number): void;
  /** The peer will send nothing more. */
  onEnd(): void;
  /** The outbox was congested and is empty again. */
  onDrain(): void;
  /** The socket is gone, for `error` if there was one. The last call, exactly once. */
  onClose(error: Error | undefined): void;
}

/** Bytes of the shared read buffer: what a long read brings at most. */
const READ_BUFFER_BYTES = 256 * 1024;
/** What a short read brings at most: libuv's own choice. */
const SHORT_READ_BYTES = 64 * 1024;

/**
 * How much one callback brings at most. Long reads are cheaper by the byte; short ones are for peers that are not to be
 * trusted with so much memory, where what is over has to be kept until its turn comes.
 */
export type ReadLength = "short" | "long";

/** How long after our FIN the peer may go on sending before the connection is cut. */
const LINGER_MS = 2_000;

// One buffer serves every socket: libuv asks for memory, reads, and calls back before it looks at the next socket.
// Windows starts reads ahead of the data, so there each socket has its own memory from Node.
const sharedReadBuffer = process.platform === "win32" ? undefined : Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);
const shortReadBuffer = sharedReadBuffer?.subarray(0, SHORT_READ_BYTES);

interface TcpHandle {
  useUserBuffer?: unknown;
  writeQueueSize?: number;
}

export class ByteSocket {
  readonly socket: Socket;
  readonly out: Outbox;
  handler: SocketHandler;
  #error: Error | undefined;
  #ended: boolean;
  #paused: boolean;
  #closing: boolean;
  #lingering: Timer | undefined;

  private constructor(
    handler: SocketHandler,
    open: (read: ReadCallback) => { socket: Socket; reads: boolean },
  ) {
    this.handler = handler;
    this.#error = undefined;
    this.#ended = false;
    this.#paused = false;
    this.#closing = false;
    this.#lingering = undefined;
    const { socket, reads } = open((count, buffer) => {
      if (!this.#closing) this.handler.onBytes(buffer as Buffer, 0, count);
      return true;
    });
    this.socket = socket;
    this.out = new Outbox(socket, !(socket instanceof TLSSocket));
    if (!reads) {
      socket.on("data", (chunk: Buffer) => {
        if (!this.#closing) this.handler.onBytes(chunk, 0, chunk.length);
      });
    }
    socket.setNoDelay(true);
    socket.on("end", () => {
      this.#ended = true;
      if (!this.#closing) this.handler.onEnd();
    });
    socket.on("drain", () => {
      this.out.onDrain();
      this.handler.onDrain();
    });
    socket.on("error", (error) => {
      this.#error = error;
    });
    const closed = (): void => {
      this.out.close();
      if (this.#lingering !== undefined) systemClock.clearTimeout(this.#lingering);
      this.handler.onClose(this.#error);
    };
    // A connection can be gone before it is taken over; its event is in the past then.
    if (socket.closed) process.nextTick(closed);
    else socket.on("close", closed);
  }

  /**
   * Takes over a socket from a server. Plain TCP sockets must come paused (`pauseOnConnect: true`): they are moved to a
   * new Socket object that reads into the shared buffer, for which Node has no public call (feature-checked, with plain
   * `data` events as the way back). To the server they are gone then: `server.close()` doesn't wait for them, and the
   * owner counts connections.
   */
  static accept(accepted: Socket, handler: SocketHandler, readLength: ReadLength = "long"): ByteSocket {
    return new ByteSocket(handler, (callback) => {
      const handle = (accepted as unknown as { _handle?: TcpHandle | null })._handle;
      if (
        sharedReadBuffer === undefined ||
        accepted instanceof TLSSocket ||
        typeof handle?.useUserBuffer !== "function"
      ) {
        accepted.allowHalfOpen = true;
        accepted.resume();
        return { socket: accepted, reads: false };
      }
      const buffer = readLength === "short" ? shortReadBuffer : sharedReadBuffer;
      const options = { handle, allowHalfOpen: true, onread: { buffer, callback } };
      const socket = new Socket(options as object);
      // The shell that is left must not own the handle, and the server must forget it: it would never see its end.
      (accepted as unknown as { _handle: null })._handle = null;
      accepted.destroy();
      return { socket, reads: true };
    });
  }

  /** Opens a TCP connection; watch `socket` for `connect` and errors. */
  static connect(options: NetConnectOpts, handler: SocketHandler): ByteSocket {
    return new ByteSocket(handler, (callback) => {
      if (sharedReadBuffer === undefined) {
        return { socket: connectTcp({ ...options, allowHalfOpen: true }), reads: false };
      }
      const onread = { buffer: sharedReadBuffer, callback };
      const all = { ...options, allowHalfOpen: true, onread } as TcpNetConnectOpts;
      return { socket: connectTcp(all), reads: true };
    });
  }

  /** Opens a TLS connection (over `options.socket` if given); watch `socket` for `secureConnect` and errors. */
  static connectTls(options: ConnectionOptions, handler: SocketHandler): ByteSocket {
    return new ByteSocket(handler, (callback) => {
      if (sharedReadBuffer === undefined || options.socket !== undefined) {
        const socket = connectTls(options);
        socket.allowHalfOpen = true;
        return { socket, reads: false };
      }
      const onread = { buffer: sharedReadBuffer, callback };
      const all = { ...options, allowHalfOpen: true, onread };
      return { socket: connectTls(all as ConnectionOptions), reads: true };
    });
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
    const handle = (this.socket as unknown as { _handle?: TcpHandle | null })._handle;
    const queued = handle?.writeQueueSize;
    return queued === undefined || queued === 0 ? this.socket.writableLength : queued;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Stops reading: the peer's bytes wait in the kernel. TLS may still pass on the rest of what it has decrypted. */
  pause(): void {
    if (this.#paused || this.#closing) return;
    this.#paused = true;
    this.socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.socket.resume();
  }

  /** Sends what is collected, then FIN. */
  end(): void {
    this.out.flush();
    this.socket.end();
  }

  /**
   * Sends what is collected, for as long as the peer takes to read it, then FIN, and closes. `onClose` is the next call.
   * What the peer still sends is read and dropped for a while: closing a socket with unread bytes makes the kernel drop
   * what it hasn't sent, and answer with a reset that can overtake the rest.
   */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    const socket = this.socket;
    this.out.flush();
    if (this.#ended) {
      socket.destroySoon();
      return;
    }
    this.resume();
    const linger = (): void => {
      if (!socket.destroyed) this.#lingering = systemClock.setTimeout(() => socket.destroy(), LINGER_MS);
    };
    if (socket.writableFinished) linger();
    else socket.once("finish", linger);
    socket.end();
  }

  /** Closes at once; unsent bytes are dropped. */
  destroy(): void {
    this.out.close();
    this.socket.destroy();
  }

  /** Closes at once with a TCP reset, so that the peer can't take what it has for complete. */
  reset(): void {
    this.out.close();
    // TLS sockets have no reset of their own; a close without close_notify says the same. Nor have Unix sockets.
    const isTcp = this.socket.remoteFamily !== undefined && !(this.socket instanceof TLSSocket);
    if (isTcp && !this.socket.connecting) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }
}

type ReadCallback = (count: number, buffer: Uint8Array) => boolean;
