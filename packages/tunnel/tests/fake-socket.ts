// A net.Socket as an Outbox sees it, with a kernel that the test controls: it accepts everything, or nothing until `drain`.

import type { Socket } from "node:net";

/** Node's own high-water mark for sockets on the oldest supported version. */
const HIGH_WATER_MARK_BYTES = 16 * 1024;

export class FakeSocket {
  writable = true;
  writableLength = 0;
  readonly writableHighWaterMark = HIGH_WATER_MARK_BYTES;
  /** What the kernel accepted, one entry per write. */
  readonly taken: Buffer[] = [];
  /** Whether the kernel's buffer is full, so that writes wait. */
  stalled = false;
  /** Pending writes, as the memory that was passed in and as a copy of its content at that time. */
  readonly waiting: { memory: Uint8Array; bytes: Buffer }[] = [];

  write(memory: Uint8Array): boolean {
    if (!this.stalled && this.writableLength === 0) {
      this.taken.push(Buffer.from(memory));
      return memory.length < HIGH_WATER_MARK_BYTES;
    }
    this.waiting.push({ memory, bytes: Buffer.from(memory) });
    this.writableLength += memory.length;
    return this.writableLength < HIGH_WATER_MARK_BYTES;
  }

  /** Makes the kernel accept everything pending; the caller notifies the outbox. */
  drain(): void {
    this.stalled = false;
    for (const { memory, bytes } of this.waiting.splice(0)) {
      if (!bytes.equals(memory)) throw new Error("memory was changed while its write was pending");
      this.taken.push(bytes);
    }
    this.writableLength = 0;
  }

  /** Returns all bytes accepted so far, and forgets them. */
  takeAll(): Buffer {
    return Buffer.concat(this.taken.splice(0));
  }

  asSocket(): Socket {
    return this as unknown as Socket;
  }
}
