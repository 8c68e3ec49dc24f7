// Collects what one socket has to send and writes it once at the end of the event-loop turn, or as soon as a slab is full.
// WebSocket connections set a seal, which turns each slab into one frame in place.

import type { Socket } from "node:net";
import { type Flushable, type Postponed, turnEnd } from "./flush-queue.js";
import { giveSlab, SLAB_BYTES, takeSlab } from "./slab-pool.js";

/** Completes a slab's contents `[start, end)` and returns where they now start (at most the headroom earlier). */
export type Seal = (slab: Buffer, start: number, end: number) => number;

export class Outbox implements Flushable, Postponed {
  /** The slab into which `take` and `reserve` return offsets; valid until the next call of any method here. */
  slab: Buffer | undefined;
  /** The socket's write buffer is above the high-water mark: hold back what you can until `drain`, which will follow. */
  congested: boolean;
  /** Number of flushes to the socket. */
  flushes: number;
  /** Undefined while there is no connection; flushed bytes are held until then. */
  #socket: Socket | undefined;
  /** Plain TCP passes bytes to the kernel within write(). TLS does so later, so memory that is reused at once has to be copied. */
  #synchronous: boolean;
  readonly #held: Buffer[];
  #heldBytes: number;
  #headroom: number;
  #seal: Seal | undefined;
  #end: number;
  /** Slabs that libuv still reads from; all of them are free when the socket has drained. */
  readonly #lent: Buffer[];
  /** Whether the flush queue is going to call `onTurnEnd` in this turn, and `onLater` soon. */
  #scheduled: boolean;
  #scheduledLater: boolean;
  #closed: boolean;

  constructor(socket: Socket | undefined, synchronous: boolean) {
    this.slab = undefined;
    this.congested = false;
    this.flushes = 0;
    this.#socket = socket;
    this.#synchronous = synchronous;
    this.#held = [];
    this.#heldBytes = 0;
    this.#headroom = 0;
    this.#seal = undefined;
    this.#end = 0;
    this.#lent = [];
    this.#scheduled = false;
    this.#scheduledLater = false;
    this.#closed = false;
  }

  /** Bytes accepted here but not yet by the kernel. */
  get pendingBytes(): number {
    return this.#end - this.#headroom + this.#heldBytes + (this.#socket?.writableLength ?? 0);
  }

  /**
   * Sets the connection and sends the held bytes. Returns true if they exceeded the limit and were all sent, which is a drain
   * for the owner.
   */
  connect(socket: Socket, synchronous: boolean): boolean {
    this.#socket = socket;
    this.#synchronous = synchronous;
    this.#heldBytes = 0;
    const wasCongested = this.congested;
    this.congested = false;
    for (const bytes of this.#held.splice(0)) if (!socket.write(bytes)) this.congested = true;
    return wasCongested && !this.congested;
  }

  /** From the next byte on, `seal` frames every slab; it may use `headroom` bytes in front. */
  setSeal(headroom: number, seal: Seal): void {
    this.flush();
    this.#headroom = headroom;
    this.#seal = seal;
    this.#end = headroom;
  }

  /** Reserves `count` contiguous bytes (far less than a slab) and returns their offset in `slab`. */
  take(count: number): number {
    const offset = this.reserve(count);
    this.#end = offset + count;
    return offset;
  }

  /** The same for bytes that aren't urgent: they leave with the next ones, or in a few milliseconds. */
  takeLater(count: number): number {
    if (this.#scheduled || this.#end - this.#headroom >= MAX_LATER_BYTES) return this.take(count);
    if (!this.#scheduledLater) {
      this.#scheduledLater = true;
      turnEnd.scheduleLater(this);
    }
    const offset = this.#end;
    this.#room(offset + count);
    this.#end = offset + count;
    return offset;
  }

  /**
   * Makes room for up to `count` contiguous bytes, more than a slab if needed, and returns their offset in `slab`. Write them
   * there, and call `advance` with their end before any other method.
   */
  reserve(count: number): number {
    if (this.#end + count > SLAB_BYTES) this.flush();
    this.#open(this.#end + count);
    return this.#end;
  }

  /** Adds the bytes that were written after `reserve`, up to the offset `end`. */
  advance(end: number): void {
    this.#end = end;
    if (end >= SLAB_BYTES) this.flush();
  }

  /** Copies bytes; the caller can reuse its buffer when this returns. */
  write(buffer: Buffer, start: number, end: number): void {
    let from = start;
    while (from < end) {
      const room = SLAB_BYTES - this.#end;
      const count = end - from < room ? end - from : room;
      const slab = this.#open(this.#end + count);
      if (count <= SMALL_COPY_BYTES) {
        for (let i = from, o = this.#end, to = from + count; i < to; i++, o++) slab[o] = buffer[i] as number;
      } else {
        buffer.copy(slab, this.#end, from, from + count);
      }
      this.#end += count;
      from += count;
      if (this.#end === SLAB_BYTES) this.flush();
    }
  }

  /** Copies text with one byte per character. */
  writeLatin1(text: string): void {
    const offset = this.reserve(text.length);
    this.advance(offset + (this.slab as Buffer).write(text, offset, "latin1"));
  }

  /** Called by the flush queue. A congested socket gets only whole slabs, so that queued writes waste no memory. */
  onTurnEnd(): void {
    this.#scheduled = false;
    if (!this.congested) this.flush();
  }

  /** Called by the flush queue for the bytes of `takeLater`. */
  onLater(): void {
    this.#scheduledLater = false;
    if (!this.#scheduled) this.onTurnEnd();
  }

  /** Called when the socket's write buffer is empty. */
  onDrain(): void {
    this.congested = false;
    for (const slab of this.#lent) giveSlab(slab);
    this.#lent.length = 0;
    this.flush();
  }

  /** Writes what is collected to the socket now. */
  flush(): void {
    const slab = this.slab;
    const end = this.#end;
    if (slab === undefined || end === this.#headroom) return;
    this.#end = this.#headroom;
    this.slab = undefined;
    this.flushes++;
    const socket = this.#socket;
    if (this.#closed || socket?.writable === false) {
      giveSlab(slab);
      return;
    }
    const start = this.#seal === undefined ? this.#headroom : this.#seal(slab, this.#headroom, end);
    const view = slab.subarray(start, end);
    if (socket === undefined) {
      this.#held.push(Buffer.from(view));
      this.#heldBytes += view.length;
      this.congested = this.#heldBytes >= MAX_HELD_BYTES;
      giveSlab(slab);
      return;
    }
    if (this.#isBetterCopied(socket, view.length, slab.length)) {
      if (!socket.write(Buffer.from(view))) this.#onFull(socket);
      giveSlab(slab);
      return;
    }
    const below = socket.write(view);
    // If the buffer is empty right after write(), the kernel has everything and the slab is free. Otherwise libuv still points into it.
    if (socket.writableLength === 0) giveSlab(slab);
    else if (!below) {
      this.#onFull(socket);
      this.#lent.push(slab);
    }
  }

  /** Drops what isn't sent yet; nothing is written from here on. */
  close(): void {
    this.#closed = true;
    this.#held.length = 0;
    this.#heldBytes = 0;
    this.flush();
  }

  /**
   * The socket is above its high-water mark. With plain TCP this means that the kernel has no room. TLS reports it after each
   * larger write until the next turn, so only the amount that it has queued counts.
   */
  #onFull(socket: Socket): void {
    if (this.#synchronous || socket.writableLength > MAX_ENCRYPTED_BYTES) this.congested = true;
  }

  /**
   * Whether to copy the bytes. Otherwise even a few queued bytes would keep a whole slab; and a slab can be lent only with a
   * write above the high-water mark, since only that is followed by a drain.
   */
  #isBetterCopied(socket: Socket, count: number, slabBytes: number): boolean {
    if (!this.#synchronous && count < socket.writableHighWaterMark) return true;
    const waits = !this.#synchronous || socket.writableLength > 0;
    return waits && count <= slabBytes * SPARE_SHARE;
  }

  /** Returns a slab with what is collected, and room up to the offset `end`; it leaves at the end of this turn. */
  #open(end: number): Buffer {
    if (!this.#scheduled) {
      this.#scheduled = true;
      if (this.#seal === undefined) turnEnd.schedule(this);
      else turnEnd.scheduleLast(this);
    }
    return this.#room(end);
  }

  #room(end: number): Buffer {
    const slab = this.slab;
    if (slab !== undefined) return end <= slab.length ? slab : this.#enlarge(slab, end);
    this.slab = takeSlab(end);
    return this.slab;
  }

  #enlarge(slab: Buffer, end: number): Buffer {
    const larger = takeSlab(end);
    slab.copy(larger, this.#headroom, this.#headroom, this.#end);
    giveSlab(slab);
    this.slab = larger;
    return larger;
  }
}

/** Bytes that an owner may write before there is a connection until it is congested: the same as for Node's sockets. */
const MAX_HELD_BYTES = 16 * 1024;
/** Below this a byte loop beats the call into native code. */
const SMALL_COPY_BYTES = 24;
/** Larger writes aren't delayed. */
const MAX_LATER_BYTES = 512;
/** Bytes that TLS may have queued without being congested: those of one turn. It reports only in the next turn that they were sent. */
const MAX_ENCRYPTED_BYTES = SLAB_BYTES;
/** Queued bytes that fill no more than this fraction of their slab are copied. */
const SPARE_SHARE = 1 / 4;
