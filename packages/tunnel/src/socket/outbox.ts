// Collects what one socket has to send and writes it once at the end of the event-loop turn, or as soon as a slab is
// full. WebSocket connections set a seal, which turns each slab into one frame in place.

import type { Socket } from "node:net";
import { type Flushable, type Postponed, turnEnd } from "./flush-queue.js";
import { giveSlab, SLAB_BYTES, takeSlab } from "./slab-pool.js";

/** Completes a slab's contents `[start, end)` and returns where they now start (at most the headroom earlier). */
export type Seal = (slab: Buffer, start: number, end: number) => number;

export class Outbox implements Flushable, Postponed {
  /** Where `take` and `reserve` have their bytes; valid until the next call of anything here. */
  slab: Buffer | undefined;
  /** The socket's write buffer is too full: hold what can be held until `drain`, which will come. */
  congested: boolean;
  /** How often collected bytes went to the socket. */
  flushes: number;
  /** Undefined: there is no connection yet, and what is flushed is held. */
  #socket: Socket | undefined;
  /** Plain TCP hands bytes to the kernel within write(). TLS does so later: what is to be reused at once has to be copied. */
  #synchronous: boolean;
  readonly #held: Buffer[];
  #heldBytes: number;
  #headroom: number;
  #seal: Seal | undefined;
  #end: number;
  /** Slabs that libuv still reads from; all of them are free when the socket has drained. */
  readonly #lent: Buffer[];
  /** The flush queue calls `onTurnEnd` in this turn, `onLater` in a moment. */
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

  /** Bytes accepted and not yet taken by the kernel. */
  get pendingBytes(): number {
    return this.#end - this.#headroom + this.#heldBytes + (this.#socket?.writableLength ?? 0);
  }

  /** There is a connection: what was held goes out. True: it was too much, and has all gone, which is for the owner a drain. */
  connect(socket: Socket, synchronous: boolean): boolean {
    this.#socket = socket;
    this.#synchronous = synchronous;
    this.#heldBytes = 0;
    const wasCongested = this.congested;
    this.congested = false;
    for (const bytes of this.#held.splice(0)) if (!socket.write(bytes)) this.congested = true;
    return wasCongested && !this.congested;
  }

  /** From the next byte on, every slab is framed by `seal`, which may use `headroom` bytes in front. */
  setSeal(headroom: number, seal: Seal): void {
    this.flush();
    this.#headroom = headroom;
    this.#seal = seal;
    this.#end = headroom;
  }

  /** Takes `count` contiguous bytes (far less than a slab) and returns their offset in `slab`. */
  take(count: number): number {
    const offset = this.reserve(count);
    this.#end = offset + count;
    return offset;
  }

  /** The same for bytes that nobody waits for: they leave with the next ones, or in a few milliseconds. */
  takeLater(count: number): number {
    if (this.#scheduled || this.#end - this.#headroom >= MOST_LATER_BYTES) return this.take(count);
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
   * Makes room for up to `count` contiguous bytes, more than a slab if need be, and returns where in `slab` they start:
   * they are written there, and `advance` says where they end, before anything else here is called.
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

  /** Copies bytes; the caller's buffer is free again when this returns. */
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

  /** Copies text of one byte per character. */
  writeLatin1(text: string): void {
    const offset = this.reserve(text.length);
    this.advance(offset + (this.slab as Buffer).write(text, offset, "latin1"));
  }

  /** Called by the flush queue. A congested socket gets whole slabs only, so that what waits is no more than its bytes. */
  onTurnEnd(): void {
    this.#scheduled = false;
    if (!this.congested) this.flush();
  }

  /** Called by the flush queue for what `takeLater` took. */
  onLater(): void {
    this.#scheduledLater = false;
    if (!this.#scheduled) this.onTurnEnd();
  }

  /** For the socket: its write buffer is empty. */
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
      this.congested = this.#heldBytes >= MOST_HELD_BYTES;
      giveSlab(slab);
      return;
    }
    if (this.#isBetterCopied(socket, view.length, slab.length)) {
      if (!socket.write(Buffer.from(view))) this.#onFull(socket);
      giveSlab(slab);
      return;
    }
    const below = socket.write(view);
    // Empty right after write(): the kernel has all of it and the slab is free. Otherwise libuv still points into it.
    if (socket.writableLength === 0) giveSlab(slab);
    else if (!below) {
      this.#onFull(socket);
      this.#lent.push(slab);
    }
  }

  /** Drops what is not sent yet; nothing is written from here on. */
  close(): void {
    this.#closed = true;
    this.#held.length = 0;
    this.#heldBytes = 0;
    this.flush();
  }

  /**
   * The socket is above its high-water mark. With plain TCP the kernel has no room then. TLS says so after each write of some
   * size, until the next turn: what it had before this write is to be held against it.
   */
  #onFull(socket: Socket): void {
    if (this.#synchronous || socket.writableLength > MOST_ENCRYPTED_BYTES) this.congested = true;
  }

  /** Bytes that wait would hold a whole slab, be they few; and only a write that congests is told of, by its drain. */
  #isBetterCopied(socket: Socket, count: number, slabBytes: number): boolean {
    if (!this.#synchronous && count < socket.writableHighWaterMark) return true;
    const waits = !this.#synchronous || socket.writableLength > 0;
    return waits && count <= slabBytes * SPARE_SHARE;
  }

  /** A slab that has what is collected, and room up to the offset `end`; it leaves at the end of this turn. */
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

/** What an owner may write before there is a connection, until it is to wait: as much as into Node's sockets. */
const MOST_HELD_BYTES = 16 * 1024;
/** Below this a byte loop beats the call into native code. */
const SMALL_COPY_BYTES = 24;
/** More bytes than that don't wait for others. */
const MOST_LATER_BYTES = 512;
/** What TLS may have without being congested: what a turn brings, whose end it tells in the next one. */
const MOST_ENCRYPTED_BYTES = SLAB_BYTES;
/** What waits and fills no more of its slab than this is copied out of it. */
const SPARE_SHARE = 1 / 4;
