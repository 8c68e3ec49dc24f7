// A connection through a tunnel as a Node stream; listeners and dials return it. This is the only place where a stream's
// callbacks become a Duplex.

import { Duplex } from "node:stream";
import { type AwakeTimer, type StreamHandler, systemClock } from "@piko/tunnel";
import { ClientError } from "./errors.js";
import type { SocketAddresses } from "./socket-addresses.js";
import { GOING_AWAY, type WrittenFrames } from "./written-frames.js";

/** What carries a connection: a stream of a tunnel, or a WebSocket. */
export interface Transport {
  /** Accepts as many bytes as it can and returns how many; if that was less than all, `onWritable` follows. */
  write(buffer: Buffer, start: number, end: number): number;
  /** Increases the receive window by `count` bytes. */
  consume(count: number): void;
  /** Ends the sending direction; no more bytes follow. */
  end(): void;
  /** Cuts both directions. */
  reset(): void;
  /** Whether nothing can be sent any more. */
  readonly closed: boolean;
}

/** What is known about a connection when it is created. */
export interface EndpointSocketOptions {
  readonly endpointId: string;
  readonly allowHalfOpen: boolean;
  /** Whether the peer supports half-closes. If not, its end closes both directions, and what this side still sends is lost. */
  readonly halfClose: boolean;
  readonly addresses: SocketAddresses;
  /** For a connection on which a WebSocket may be served: follows its frames, so that it can be closed when its listener closes. */
  readonly written?: WrittenFrames | undefined;
}

/** A connection that was destroyed after `end` is checked at this interval: it is cut if the peer has sent to it. */
const LINGER_MS = 5_000;
/** Maximum wait for a peer that neither sends nor ends: the same as Linux's (`tcp_fin_timeout`). */
const MAX_LINGER_MS = 60_000;

/**
 * A connection to or from an endpoint. It behaves like a `net.Socket`: `end` ends it normally after all bytes have been
 * sent; `destroy` without `end` cuts it, and the peer sees a reset. If the peer cuts the connection, or the tunnel is lost, it
 * is destroyed with a {@link ClientError} with code PIKO_CLIENT_RESET. Unlike with a `net.Socket`, an `error` event without
 * a listener is not an uncaught exception, because pipes and `close` report it, too.
 */
export class EndpointSocket extends Duplex {
  /** The endpoint that was dialled or listened on. */
  readonly endpointId: string;
  /** Address of the Piko server at the other end of the tunnel, not the client's. */
  readonly remoteAddress: string | undefined;
  /** Port of the Piko server. */
  readonly remotePort: number | undefined;
  /** `IPv4` or `IPv6`: of the connection to the Piko server. */
  readonly remoteFamily: string | undefined;
  /** Address of this program's end of the connection to the Piko server. */
  readonly localAddress: string | undefined;
  /** Port of this program's end. */
  readonly localPort: number | undefined;
  /** Always false: the connection is open from the beginning. */
  readonly connecting = false;
  /** Always false: the connection is open from the beginning. */
  readonly pending = false;
  /** Number of bytes received, including those that haven't been read. */
  bytesRead = 0;
  /** The timeout set with `setTimeout`, in milliseconds; undefined if none. */
  timeout: number | undefined;
  readonly #transport: Transport;
  readonly #halfClose: boolean;
  /** Bytes that were pushed beyond what the reader wanted; their window is granted when it reads. */
  #owed = 0;
  #takenBytes = 0;
  #pending: { chunk: Buffer; at: number; callback: (error?: Error | null) => void } | undefined;
  #remoteEnded = false;
  #reset = false;
  #linger: AwakeTimer | undefined;
  /** Whether data has arrived since the connection was destroyed. */
  #unwanted = false;
  #idle: AwakeTimer | undefined;
  readonly #written: WrittenFrames | undefined;
  /**
   * `waits`: a Close frame is to be sent between two frames. `said`: it was sent, and what the program still writes is dropped.
   */
  #leaving: "no" | "waits" | "sent" = "no";

  /** @internal Connections come from `listen` and `dial`. */
  constructor(options: EndpointSocketOptions, connect: (handler: StreamHandler) => Transport) {
    super({ allowHalfOpen: options.allowHalfOpen, decodeStrings: true });
    this.endpointId = options.endpointId;
    const { addresses } = options;
    this.remoteAddress = addresses.remoteAddress;
    this.remotePort = addresses.remotePort;
    this.remoteFamily = addresses.remoteFamily;
    this.localAddress = addresses.localAddress;
    this.localPort = addresses.localPort;
    this.#halfClose = options.halfClose;
    this.#written = options.written;
    // The loss of a tunnel destroys all of its connections with errors at once; that must not crash the program.
    this.on("error", () => {});
    this.#transport = connect({
      onData: (buffer, start, end) => this.#onData(buffer, start, end),
      onEnd: () => this.#onEnd(),
      onWritable: () => this.#send(),
      onReset: () => this.#onReset(),
    });
  }

  /** Number of bytes written, including those that haven't been sent. */
  get bytesWritten(): number {
    return this.#takenBytes + this.writableLength - (this.#pending?.at ?? 0);
  }

  /** As in `net.Socket`; there is no `opening`. */
  get readyState(): "open" | "readOnly" | "writeOnly" | "closed" {
    if (this.readable) return this.writable ? "open" : "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }

  /** This program's end of the connection to the Piko server, as `net.Socket` gives it. */
  address(): { address?: string; family?: string; port?: number } {
    const { localAddress, remoteFamily, localPort } = this;
    if (localAddress === undefined || localPort === undefined) return {};
    return { address: localAddress, port: localPort, ...(remoteFamily && { family: remoteFamily }) };
  }

  /** Cuts the connection. The peer sees a reset, even after an `end`. */
  resetAndDestroy(): this {
    if (!this.destroyed && !this.#transport.closed) this.#transport.reset();
    this.#reset = true;
    return this.destroy();
  }

  /** Emits `timeout` after `ms` milliseconds without a byte in either direction; 0 disables it. As in `net.Socket`, nothing is closed. */
  setTimeout(ms: number, callback?: () => void): this {
    this.#idle?.clear();
    this.#idle = undefined;
    this.timeout = ms > 0 ? ms : undefined;
    if (ms > 0 && !this.destroyed)
      this.#idle = systemClock.setTimeout(() => this.emit("timeout"), ms).unref();
    if (callback !== undefined) {
      if (ms > 0) this.once("timeout", callback);
      else this.removeListener("timeout", callback);
    }
    return this;
  }

  /** Does nothing: frames are sent at the end of each event-loop turn. Exists because HTTP clients call it. */
  setNoDelay(): this {
    return this;
  }

  /** Does nothing: the tunnel has its own keep-alive. Exists because HTTP clients call it. */
  setKeepAlive(): this {
    return this;
  }

  /** Does nothing: connections of a tunnel aren't handles of the event loop. Exists because HTTP clients call it. */
  ref(): this {
    return this;
  }

  /** Does nothing, see `ref`. */
  unref(): this {
    return this;
  }

  /**
   * @internal For a listener that closes: sends the client of a WebSocket a Close frame with status 1001 (going away), as soon
   * as no frame is partly written. Other connections are left alone.
   */
  goAway(): void {
    if (this.#leaving !== "no" || this.writableEnded || this.destroyed) return;
    this.#leaving = "waits";
    // An empty write, which is processed after all that are queued.
    this.write(Buffer.alloc(0));
  }

  /** @internal */
  override _read(): void {
    const owed = this.#owed;
    this.#owed = 0;
    if (owed > 0) this.#transport.consume(owed);
  }

  /** @internal */
  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (this.#leaving === "sent") {
      callback();
      return;
    }
    this.#written?.follow(chunk);
    if (this.#leaving === "waits" && this.#written?.betweenFrames === true) {
      this.#leaving = "sent";
      this.#pending = { chunk: Buffer.concat([chunk, GOING_AWAY]), at: 0, callback };
    } else {
      this.#pending = { chunk, at: 0, callback };
    }
    this.#send();
  }

  /** @internal */
  override _final(callback: (error?: Error | null) => void): void {
    // Writable calls this after every write has called back, which is when the transport has accepted the last byte.
    this.#transport.end();
    callback();
  }

  /** @internal */
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#idle?.clear();
    this.#pending = undefined;
    if (!this.#reset && !this.#transport.closed) {
      // After a FIN, a reset would make the peer drop what it has not read yet. So after a normal end the connection lingers.
      if (error === null && this.writableFinished && !this.#remoteEnded) {
        this.#lingerAgain(MAX_LINGER_MS - LINGER_MS);
      } else if (!this.writableFinished || !this.#remoteEnded) {
        this.#transport.reset();
      }
    }
    callback(error);
  }

  #onData(buffer: Buffer, start: number, end: number): void {
    if (this.destroyed) {
      this.#unwanted = true;
      return;
    }
    this.#idle?.refresh();
    this.bytesRead += end - start;
    const wanted = this.push(Buffer.from(buffer.subarray(start, end)));
    if (wanted) this.#transport.consume(end - start);
    else this.#owed += end - start;
  }

  #onEnd(): void {
    this.#remoteEnded = true;
    this.#linger?.clear();
    if (this.destroyed) return;
    this.push(null);
    if (this.#halfClose) return;
    // From here on the transport accepts all bytes and sends none of them.
    this.#transport.end();
    this.#send();
  }

  #onReset(): void {
    this.#reset = true;
    this.#linger?.clear();
    if (!this.destroyed) this.destroy(resetError(this.endpointId));
  }

  #lingerAgain(leftMs: number): void {
    const timer = systemClock.setTimeout(() => {
      if (this.#unwanted || leftMs <= 0) this.#transport.reset();
      else this.#lingerAgain(leftMs - LINGER_MS);
    }, LINGER_MS);
    this.#linger = timer.unref();
  }

  #send(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    if (this.#transport.closed) {
      this.#pending = undefined;
      // The peer closed both directions normally: an error would discard bytes from it that haven't been read yet.
      const ended = this.#remoteEnded && !this.#reset && !this.readableEnded;
      pending.callback(ended ? null : resetError(this.endpointId));
      return;
    }
    this.#idle?.refresh();
    const taken = this.#transport.write(pending.chunk, pending.at, pending.chunk.length);
    pending.at += taken;
    this.#takenBytes += taken;
    if (pending.at < pending.chunk.length) return;
    this.#pending = undefined;
    pending.callback();
  }
}

function resetError(endpointId: string): ClientError {
  return new ClientError("PIKO_CLIENT_RESET", `endpoint ${endpointId}: connection reset`, {
    retryable: true,
  });
}
