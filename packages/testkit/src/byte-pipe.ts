// An in-memory connection: two Duplex streams, each of which reads what the other writes, with back-pressure and half-close.

import { Duplex } from "node:stream";
import type { SeededRandom } from "./seeded-random.js";

export interface BytePipeOptions {
  /** Cuts writes into random pieces, as a network may. */
  readonly random?: SeededRandom;
  /** Maximum bytes of a piece if `random` is given; 16 by default. */
  readonly longestPiece?: number;
  /** Bytes that a side buffers before its peer's writes wait. */
  readonly highWaterMark?: number;
}

/** The two ends. */
export interface BytePipe {
  readonly near: Duplex;
  readonly far: Duplex;
}

class PipeEnd extends Duplex {
  peer: PipeEnd | undefined;
  readonly #options: BytePipeOptions;
  /** Continues the peer's write when this side is read again. */
  #resume: (() => void) | undefined;

  constructor(options: BytePipeOptions) {
    super({ allowHalfOpen: true, highWaterMark: options.highWaterMark ?? 64 * 1024 });
    this.#options = options;
  }

  override _read(): void {
    const resume = this.#resume;
    this.#resume = undefined;
    if (resume !== undefined) setImmediate(resume);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    const peer = this.peer;
    if (peer === undefined || peer.destroyed) {
      done(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
      return;
    }
    const { random, longestPiece = 16 } = this.#options;
    // The writer may reuse its memory as soon as the write is done, so the reader gets a copy.
    const copy = Buffer.from(chunk);
    const pieces = random === undefined ? [copy] : random.split(copy, longestPiece);
    peer.#accept(pieces, 0, done);
  }

  override _final(done: () => void): void {
    if (this.peer !== undefined && !this.peer.destroyed) this.peer.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#resume = undefined;
    const peer = this.peer;
    // If an end is destroyed after all its data, the peer notices nothing; before that, it sees an end, or a reset after an error.
    if (peer !== undefined && !this.writableFinished) {
      setImmediate(() => {
        if (peer.destroyed || peer.readableEnded) return;
        if (error === null) peer.push(null);
        else peer.destroy(connectionReset());
      });
    }
    done(error);
  }

  #accept(pieces: readonly Buffer[], from: number, done: () => void): void {
    for (let i = from; i < pieces.length; i++) {
      if (this.destroyed) break;
      if (!this.push(pieces[i])) {
        this.#resume = () => this.#accept(pieces, i + 1, done);
        return;
      }
    }
    done();
  }
}

function connectionReset(): Error {
  return Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
}

/** Creates a connected pair. */
export function createBytePipe(options: BytePipeOptions = {}): BytePipe {
  const near = new PipeEnd(options);
  const far = new PipeEnd(options);
  near.peer = far;
  far.peer = near;
  return { near, far };
}
