// Sends bytes on a yamux stream and keeps what the stream has no room for. The caller stops its source while the stream
// is blocked, so that at most one read's worth waits here.

import type { ByteBudget } from "./byte-budget.js";
import { ByteStore } from "./byte-store.js";

/** The stream, or a substitute: accepts as many bytes as it has room for. */
export interface ByteTaker {
  write(buffer: Buffer, start: number, end: number): number;
}

/** One that takes two pieces as one: `head` up to `headEnd`, and `[start, end)` of `buffer` after it. */
export interface PairTaker extends ByteTaker {
  writeBoth(head: Buffer, headEnd: number, buffer: Buffer, start: number, end: number): number;
}

export class StreamSender {
  readonly #rest: ByteStore;

  /** With a budget, what waits is counted there, and has to be cleared in the end. */
  constructor(budget?: ByteBudget) {
    this.#rest = new ByteStore(budget, true);
  }

  /** Bytes wait: the stream's `onWritable` follows, and with it `resume`. */
  get blocked(): boolean {
    return this.#rest.length > 0;
  }

  /** Sends bytes after those that wait; the caller's buffer is free afterwards. Returns how many the stream took. */
  send(stream: ByteTaker, buffer: Buffer, start: number, end: number): number {
    const taken = this.#rest.length > 0 ? 0 : stream.write(buffer, start, end);
    if (taken < end - start) this.#rest.append(buffer, start + taken, end);
    return taken;
  }

  /** The same for two pieces, of which the first may be empty; they leave as one frame where they may. */
  sendBoth(
    stream: PairTaker,
    head: Buffer,
    headEnd: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (headEnd === 0 || this.blocked) {
      if (headEnd > 0) this.send(stream, head, 0, headEnd);
      this.send(stream, buffer, start, end);
      return;
    }
    const taken = stream.writeBoth(head, headEnd, buffer, start, end);
    if (taken < headEnd) this.#rest.append(head, taken, headEnd);
    this.#rest.append(buffer, start + Math.max(0, taken - headEnd), end);
  }

  /** The stream has room again. */
  resume(stream: ByteTaker): void {
    const rest = this.#rest;
    if (rest.length > 0) rest.consumeTo(rest.start + stream.write(rest.buffer, rest.start, rest.end));
  }

  /** Forgets what waits. */
  clear(): void {
    if (this.#rest.length > 0) this.#rest.clear();
  }
}
